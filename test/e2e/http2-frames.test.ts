// What an HTTP/2 client may and may not send, frame by frame: the cases of sections 3 to 8 of RFC 9113, one connection
// each, to one sidecar.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { block, flags, frame, FrameClient, frameTypes, requestHead } from "../support/http2-frames.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const { data, headers, priority, rst, settings, pushPromise, ping, goaway, windowUpdate, continuation } =
  frameTypes;
const { endStream, endHeaders, padded, ack } = flags;
const [protocol, internal, flowControl, streamClosed, frameSize, compression] = [1, 2, 3, 5, 6, 9];
const [refusedStream, calm] = [7, 11];

/** The connection is over; a GOAWAY says one of these codes. */
interface Ends {
  readonly ends: readonly number[];
}
/** The stream is reset with one of these codes, or the connection is over. */
interface Resets {
  readonly resets: readonly number[];
  readonly stream: number;
}
/** The stream has the service's answer. */
interface Answers {
  readonly answers: number;
}
/** No request comes of it, at least: where RFC 9113 asks for an error, nghttp2 lets it lie. */
type Outcome = Ends | Resets | Answers | "nothing";
type Case = readonly [what: string, frames: readonly Buffer[], outcome: Outcome];

const ends = (...codes: number[]): Ends => ({ ends: codes });
const resets = (stream: number, ...codes: number[]): Resets => ({ resets: codes, stream });
const answers = (stream: number): Answers => ({ answers: stream });

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const number = (value: number): Buffer => {
  const four = Buffer.alloc(4);
  four.writeUInt32BE(value);
  return four;
};
const setting = (id: number, value: number): Buffer =>
  frame(settings, 0, 0, Buffer.concat([bytes(0, id), number(value)]));
const get = (stream: number, head = requestHead("/never")): Buffer =>
  frame(headers, endStream | endHeaders, stream, block(head));
const good = (stream: number): Buffer => get(stream, requestHead("/"));
/** A request whose body is to come. */
const post = (stream: number, ...more: string[]): Buffer =>
  frame(headers, endHeaders, stream, block(requestHead("/post", ...more).with(1, "POST")));
const without = (name: string): string[] =>
  requestHead("/never").filter((_text, i, all) => all[i - (i % 2)] !== name);
const [half, rest] = [block(requestHead("/never")).subarray(0, 8), block(requestHead("/never")).subarray(8)];
const [goodHalf, goodRest] = [block(requestHead("/")).subarray(0, 8), block(requestHead("/")).subarray(8)];

/** A head of bytes as they are. */
const raw = (stream: number, ...parts: readonly Buffer[]): Buffer =>
  frame(headers, endStream | endHeaders, stream, Buffer.concat(parts));
/** A head with five bytes of priority (RFC 7540 section 6.2), which count for nothing. */
const prioritised = (stream: number, dependsOn: Buffer): Buffer =>
  frame(
    headers,
    endStream | endHeaders | 0x20,
    stream,
    Buffer.concat([dependsOn, bytes(1), block(requestHead("/"))]),
  );
const head = block(requestHead("/never"));
const goodHead = block(requestHead("/"));
/** `:method GET`, `:scheme http` and `:path /` of the static table, and `:authority` by its name there. */
const indexed = bytes(0x82, 0x86, 0x84, 1, 1, 0x61);
/** Of Huffman's code, as the value of `x`. */
const huffman = (...code: number[]): Buffer =>
  Buffer.concat([bytes(0, 1, 0x78, 0x80 | code.length), bytes(...code)]);

const cases: readonly (readonly [section: string, cases: readonly Case[]])[] = [
  [
    "4 frames",
    [
      ["a frame of an unknown type", [frame(0x16, 0, 0, Buffer.alloc(8)), good(1)], answers(1)],
      ["flags that nobody knows", [frame(ping, 0x16, 0, Buffer.alloc(8)), good(1)], answers(1)],
      ["the reserved bit", [frame(ping, 0, 2 ** 31, Buffer.alloc(8)), good(1)], answers(1)],
      ["a frame as large as may be", [post(1), frame(data, endStream, 1, Buffer.alloc(16_384))], answers(1)],
      ["DATA that is larger", [post(1), frame(data, endStream, 1, Buffer.alloc(16_385))], ends(frameSize)],
      ["a head that is larger", [get(1, requestHead("/never", "x", "x".repeat(17_000)))], ends(frameSize)],
      [
        "a head that no table decodes",
        [frame(headers, endStream | endHeaders, 1, bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff))],
        ends(compression),
      ],
      [
        "PRIORITY within a head",
        [
          frame(headers, endStream, 1, half),
          frame(priority, 0, 1, bytes(0, 0, 0, 0, 255)),
          frame(continuation, endHeaders, 1, rest),
        ],
        ends(protocol),
      ],
      ["another stream's head within a head", [frame(headers, endStream, 1, half), get(3)], ends(protocol)],
      [
        "an unknown frame within a head",
        [frame(headers, endStream, 1, half), frame(0x16, 0, 1), frame(continuation, endHeaders, 1, rest)],
        ends(protocol),
      ],
    ],
  ],
  [
    "5 streams",
    [
      ["DATA before a head", [frame(data, endStream, 1, bytes(1))], ends(protocol, streamClosed)],
      ["RST_STREAM before a head", [frame(rst, 0, 1, number(8))], ends(protocol)],
      ["WINDOW_UPDATE before a head", [frame(windowUpdate, 0, 1, number(1))], ends(protocol)],
      ["CONTINUATION before a head", [frame(continuation, endHeaders, 1, half)], ends(protocol)],
      ["DATA behind the end", [good(1), frame(data, endStream, 1, bytes(1))], resets(1, streamClosed)],
      ["a head behind the end", [good(1), get(1)], resets(1, streamClosed)],
      [
        "CONTINUATION behind the end",
        [good(1), frame(continuation, endHeaders, 1, half)],
        ends(protocol, streamClosed),
      ],
      [
        "DATA behind a reset",
        [post(1), frame(rst, 0, 1, number(8)), frame(data, endStream, 1, bytes(1))],
        "nothing",
      ],
      ["a head behind a reset", [post(1), frame(rst, 0, 1, number(8)), get(1)], "nothing"],
      ["an even stream", [get(2)], ends(protocol)],
      ["a stream below the last", [good(5), get(3)], "nothing"],
      [
        "PRIORITY of a stream of its own",
        [frame(priority, 0, 1, Buffer.concat([number(1), bytes(1)])), good(3)],
        answers(3),
      ],
      [
        "more streams than may be",
        Array.from({ length: 5 }, (_, i) => post(1 + 2 * i)),
        resets(9, protocol, refusedStream),
      ],
    ],
  ],
  [
    "6.1 to 6.4",
    [
      ["DATA of no stream", [frame(data, endStream, 0, bytes(1))], ends(protocol)],
      [
        "DATA with more padding than it has",
        [post(1), frame(data, endStream | padded, 1, bytes(9, 1))],
        ends(protocol),
      ],
      ["padded DATA", [post(1), frame(data, endStream | padded, 1, bytes(2, 1, 0, 0))], answers(1)],
      ["a head of no stream", [get(0)], ends(protocol)],
      [
        "a head with more padding than it has",
        [
          frame(
            headers,
            endStream | endHeaders | padded,
            1,
            Buffer.concat([bytes(255), block(requestHead("/never"))]),
          ),
        ],
        ends(protocol),
      ],
      ["PRIORITY of no stream", [frame(priority, 0, 0, Buffer.alloc(5))], "nothing"],
      ["PRIORITY of another length", [frame(priority, 0, 1, Buffer.alloc(4))], resets(1, frameSize)],
      ["RST_STREAM of no stream", [frame(rst, 0, 0, number(8))], ends(protocol)],
      ["RST_STREAM of another length", [post(1), frame(rst, 0, 1, bytes(0, 0, 8))], ends(frameSize)],
      ["RST_STREAM with an unknown code", [post(1), frame(rst, 0, 1, number(0xff)), good(3)], answers(3)],
    ],
  ],
  [
    "6.5 SETTINGS",
    [
      ["an acknowledgement with content", [frame(settings, ack, 0, Buffer.alloc(6))], ends(frameSize)],
      ["of a stream", [frame(settings, 0, 1, Buffer.alloc(6))], ends(protocol)],
      ["of another length", [frame(settings, 0, 0, Buffer.alloc(3))], ends(frameSize)],
      ["ENABLE_PUSH that is neither 0 nor 1", [setting(2, 2)], ends(protocol)],
      ["a window too large", [setting(4, 2 ** 31)], ends(flowControl)],
      ["frames too small", [setting(5, 16_383)], ends(protocol)],
      ["frames too large", [setting(5, 2 ** 24)], ends(protocol)],
      ["extended CONNECT that is neither 0 nor 1", [setting(8, 2)], ends(protocol)],
      ["one that is unknown", [setting(0xff, 1), good(1)], answers(1)],
      ["too many in one frame", [frame(settings, 0, 0, Buffer.alloc(6 * 40))], ends(calm, protocol)],
    ],
  ],
  [
    "6.6 to 6.8",
    [
      [
        "PUSH_PROMISE of a client",
        [
          good(1),
          frame(pushPromise, endHeaders, 1, Buffer.concat([number(2), block(requestHead("/never"))])),
        ],
        ends(protocol),
      ],
      ["a ping of a stream", [frame(ping, 0, 1, Buffer.alloc(8))], ends(protocol)],
      ["a ping of another length", [frame(ping, 0, 0, Buffer.alloc(6))], ends(frameSize)],
      ["GOAWAY of a stream", [frame(goaway, 0, 1, Buffer.alloc(8))], ends(protocol)],
      ["GOAWAY of another length", [frame(goaway, 0, 0, Buffer.alloc(4))], ends(frameSize)],
    ],
  ],
  [
    "6.9 windows, 6.10 CONTINUATION",
    [
      ["nothing more, for the connection", [frame(windowUpdate, 0, 0, number(0))], ends(protocol)],
      ["nothing more, for a stream", [post(1), frame(windowUpdate, 0, 1, number(0))], resets(1, protocol)],
      ["of another length", [frame(windowUpdate, 0, 0, bytes(0, 0, 1))], ends(frameSize)],
      [
        "too much, for the connection",
        [frame(windowUpdate, 0, 0, number(2 ** 31 - 1)), frame(windowUpdate, 0, 0, number(2 ** 31 - 1))],
        ends(flowControl),
      ],
      [
        "too much, for a stream",
        [
          post(1),
          frame(windowUpdate, 0, 1, number(2 ** 31 - 1)),
          frame(windowUpdate, 0, 1, number(2 ** 31 - 1)),
        ],
        resets(1, flowControl),
      ],
      [
        "too much by SETTINGS",
        [post(1), frame(windowUpdate, 0, 1, number(2 ** 30)), setting(4, 2 ** 31 - 1)],
        ends(flowControl),
      ],
      [
        "a head in three frames",
        [
          frame(headers, endStream, 1, goodHalf),
          frame(continuation, 0, 1),
          frame(continuation, endHeaders, 1, goodRest),
        ],
        answers(1),
      ],
      [
        "CONTINUATION of no stream",
        [frame(headers, endStream, 1, half), frame(continuation, endHeaders, 0, rest)],
        ends(protocol),
      ],
      [
        "CONTINUATION of another stream",
        [frame(headers, endStream, 1, half), frame(continuation, endHeaders, 3, rest)],
        ends(protocol),
      ],
      [
        "CONTINUATION behind a whole head",
        [post(1), frame(continuation, endHeaders, 1, half)],
        ends(protocol),
      ],
      [
        "CONTINUATION behind DATA",
        [post(1), frame(data, 0, 1, bytes(1)), frame(continuation, endHeaders, 1, half)],
        ends(protocol),
      ],
    ],
  ],
  [
    "8 requests",
    [
      [
        "a second head that does not end the stream",
        [post(1), frame(headers, endHeaders, 1, block(["x-a", "1"]))],
        resets(1, protocol),
      ],
      [
        "a pseudo-field among the trailers",
        [post(1), frame(headers, endHeaders | endStream, 1, block([":method", "GET"]))],
        resets(1, protocol),
      ],
      [
        "trailers",
        [
          post(1),
          frame(data, 0, 1, bytes(1)),
          frame(headers, endHeaders | endStream, 1, block(["x-a", "1"])),
        ],
        answers(1),
      ],
      [
        "trailers larger than a head may be",
        [
          frame(headers, endHeaders, 1, block(requestHead("/large").with(1, "POST"))),
          frame(data, 0, 1, bytes(1)),
          frame(headers, endStream, 1, block(["x-a", "1".repeat(8_000)])),
          frame(continuation, endHeaders, 1, block(["x-b", "1".repeat(9_000)])),
        ],
        resets(1, calm),
      ],
      [
        "a response's pseudo-field",
        [get(1, [...requestHead("/never"), ":status", "200"])],
        resets(1, protocol),
      ],
      ["an unknown pseudo-field", [get(1, [...requestHead("/never"), ":test", "1"])], resets(1, protocol)],
      [
        "a pseudo-field behind a field",
        [get(1, [...without(":path"), "x-a", "1", ":path", "/never"])],
        resets(1, protocol),
      ],
      ["no :method", [get(1, without(":method"))], resets(1, protocol)],
      ["no :scheme", [get(1, without(":scheme"))], resets(1, protocol)],
      ["no :path", [get(1, without(":path"))], resets(1, protocol)],
      ["an empty :path", [get(1, [...without(":path"), ":path", ""])], resets(1, protocol)],
      ["TE that says more than trailers", [get(1, requestHead("/never", "te", "gzip"))], resets(1, protocol)],
      [
        "two Content-Length",
        [post(1, "content-length", "1", "content-length", "1"), frame(data, endStream, 1, bytes(1))],
        resets(1, protocol),
      ],
      ["a name with a blank, which goes no further", [get(1, requestHead("/", "x a", "1"))], answers(1)],
      ["a path with a control character", [get(1, requestHead("/never\x01"))], resets(1, protocol)],
      ["a name in capitals", [get(1, requestHead("/never", "X-A", "1"))], resets(1, protocol)],
      ...(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] as const).map(
        (name): Case => [
          `${name}, which is of HTTP/1.1`,
          [get(1, requestHead("/never", name, "x"))],
          resets(1, protocol),
        ],
      ),
      ...([":method", ":scheme", ":path", ":authority"] as const).map((name): Case => [
        `${name} twice`,
        [get(1, [name, "GET", ...requestHead("/never")])],
        resets(1, protocol),
      ]),
      [
        "less of a body than Content-Length says",
        [post(1, "content-length", "2"), frame(data, endStream, 1, bytes(1))],
        resets(1, protocol),
      ],
      [
        "more of a body, in two frames",
        [post(1, "content-length", "1"), frame(data, 0, 1, bytes(1)), frame(data, endStream, 1, bytes(1))],
        // Node ends the connection, by this code.
        resets(1, protocol, internal),
      ],
      ["a head that depends on another stream", [prioritised(1, number(0)), good(3)], answers(1)],
      ["a head that depends on itself", [prioritised(1, number(1)), good(3)], ends(protocol)],
      [
        "a good-bye with an unknown code",
        [frame(goaway, 0, 0, Buffer.concat([number(0), number(0xff)])), good(1)],
        "nothing",
      ],
    ],
  ],
  [
    "HPACK (RFC 7541)",
    [
      ["fields of the static table", [raw(1, indexed)], answers(1)],
      [
        "a field that joins the table, and is named by it",
        [raw(1, indexed, bytes(0x40, 1, 0x78, 1, 0x79)), raw(3, indexed, bytes(0xbe))],
        answers(3),
      ],
      ["a field that must join no table", [raw(1, indexed, bytes(0x10, 1, 0x78, 1, 0x79))], answers(1)],
      ["a table emptied at the begin of a head", [raw(1, bytes(0x20), goodHead)], answers(1)],
      ["Huffman's code", [raw(1, goodHead, huffman(0x1f))], answers(1)],
      ["2.3.3: an index beyond the tables", [raw(1, head, bytes(0xc6))], ends(compression)],
      ["2.3.3: a name's index beyond them", [raw(1, head, bytes(0x7f, 0x10, 1, 0x79))], ends(compression)],
      ["4.2: a table resized at the end of a head", [raw(1, head, bytes(0x20))], ends(compression)],
      ["5.2: padding of eight bits", [raw(1, head, huffman(0x1f, 0xff))], ends(compression)],
      ["5.2: padding of zeros", [raw(1, head, huffman(0x18))], ends(compression)],
      ["5.2: the code's own end", [raw(1, head, huffman(0xff, 0xff, 0xff, 0xff))], ends(compression)],
      ["5.2: a text that is cut off", [raw(1, head, bytes(0, 1, 0x78, 9, 0x79))], ends(compression)],
      ["6.1: index 0", [raw(1, head, bytes(0x80))], ends(compression)],
      ["6.3: a table larger than may be", [raw(1, bytes(0x3f, 0xe2, 0x1f), head)], ends(compression)],
    ],
  ],
];

describe("a client of HTTP/2, frame by frame", () => {
  const reached: (string | undefined)[] = [];
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await startSidecar({
      policy: { plugins: ["logging"] },
      upstream(request, response) {
        reached.push(request.url, ...request.rawHeaders);
        request
          .resume()
          .on("end", () => response.end("x"))
          .on("error", () => {});
      },
      env: { OUTRIGGER_HTTP2_STREAMS: "4" },
    });
  });
  after(() => sidecar.stop());

  for (const [section, each] of cases) {
    for (const [what, frames, outcome] of each) {
      it(`${section}: ${what}`, async () => {
        await using client = await FrameClient.open(sidecar.port);
        client.send(...frames);
        await settle(client);
        await check(client, outcome);
        for (const never of ["/never", "x a"])
          assert.equal(reached.includes(never), false, "the service has seen it");
        reached.length = 0;
      });
    }
  }

  it("3.4: what begins as the preface and goes on in another way ends", async () => {
    const socket = connect(sidecar.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    socket.write("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    await once(socket, "close");
  });

  it("6.9.2: no more of an answer comes than the window lets, whenever that changes", async () => {
    await using client = await FrameClient.open(sidecar.port, Buffer.concat([bytes(0, 4), number(0)]));
    client.send(good(1));
    await check(client, answers(1));
    await settle(client);
    const sent = (): Buffer[] =>
      client.frames.filter(({ type }) => type === data).map(({ payload }) => payload);
    assert.deepEqual(sent(), []);
    client.send(setting(4, 1));
    await client.frame(({ type, flags: flag }) => type === data && flag === endStream);
    assert.equal(Buffer.concat(sent()).toString(), "x");
  });

  it("others are served all the while", async () => {
    assert.equal((await fetch(sidecar.url)).status, 200);
    await using client = await FrameClient.open(sidecar.port);
    client.send(good(1));
    await check(client, answers(1));
  });
});

/** Whatever comes of frames has come when two pings behind them are answered, or the connection is over. */
async function settle(client: FrameClient): Promise<void> {
  for (const [nth] of [1, 2].entries()) {
    const content = Buffer.alloc(8, 0xa0 + nth);
    client.send(frame(ping, 0, 0, content));
    await client.frame(
      ({ type, flags: flag, payload }) => type === ping && flag === ack && payload.equals(content),
    );
  }
}

async function check(client: FrameClient, outcome: Outcome): Promise<void> {
  if (outcome === "nothing") return;
  const last = client.frames.find(({ type }) => type === goaway)?.payload.readUInt32BE(4);
  if ("ends" in outcome) {
    assert.ok(client.closed || last !== undefined, "the connection goes on");
    if (last !== undefined) assert.ok(outcome.ends.includes(last), `GOAWAY with ${last}`);
    await client.end();
  } else if ("resets" in outcome) {
    const reset = await client.frame(({ type, stream }) => type === rst && stream === outcome.stream);
    const code = reset?.payload.readUInt32BE(0) ?? last;
    assert.ok(reset !== undefined || client.closed, "neither reset nor over");
    if (code !== undefined) assert.ok(outcome.resets.includes(code), `code ${code}`);
  } else {
    const head = await client.frame(({ type, stream }) => type === headers && stream === outcome.answers);
    // `:status 200`: index 8 of the static table.
    assert.equal(head?.payload[0], 0x88);
  }
}
