// HTTP/2 from clients: on the same port as HTTP/1.1, over TLS, and what its clients may not do.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type http from "node:http";
import http2 from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { after, before, describe, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { makeCertificate } from "../support/certificate.ts";
import { block, flags, frame, FrameClient, frameTypes, requestHead } from "../support/http2-frames.ts";
import { eventually } from "../support/redis.ts";

interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: http2.IncomingHttpHeaders;
}

/** One request on a session. Rejects when its stream is reset. */
async function ask(
  session: http2.ClientHttp2Session,
  head: http2.OutgoingHttpHeaders,
  body: string | Buffer = "",
): Promise<Answer> {
  const stream = session.request(head, { endStream: body === "" });
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("response", (got) => (headers = got));
  stream.on("trailers", (got) => (trailers = got));
  if (body !== "") stream.end(body);
  let text = "";
  for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return { status: Number(headers[":status"]), headers, body: text, trailers };
}

/** Requests with that field have reached a service. */
let marked = 0;
/** Bodies for that path have come to their end. */
let wholeBodies = 0;

const echo = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
  if (request.headers["x-marked"] !== undefined) marked += 1;
  if (request.url === "/hang") return;
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  if (request.url === "/body") wholeBodies += 1;
  if (request.url === "/large" || request.url === "/small") {
    response.end(Buffer.alloc(request.url === "/large" ? 1_000_000 : 1, "x"));
    return;
  }
  response.setHeader("Trailer", "X-Sum");
  response.setHeader("Connection", "keep-alive, X-Own");
  response.setHeader("X-Own", "1");
  response.write(JSON.stringify({ head: request.rawHeaders, body: Buffer.concat(chunks).toString() }));
  response.addTrailers({ "X-Sum": "7" });
  response.end();
};

const policy = { plugins: ["logging", "auth"], pluginConfig: { auth: { required: false } } };

describe("a client that speaks HTTP/2 in clear", () => {
  let sidecar: TestSidecar;
  let session: http2.ClientHttp2Session;
  before(async () => {
    sidecar = await startSidecar({ policy, upstream: (...each) => void echo(...each) });
    session = http2.connect(sidecar.url);
  });
  after(async () => {
    session.destroy();
    await sidecar.stop();
  });

  test("is served on the port of HTTP/1.1, fields, body and trailers whole", async () => {
    const { status, headers, body, trailers } = await ask(
      session,
      { ":method": "POST", ":path": "/a?b=1", cookie: ["a=1", "b=2"], te: "trailers" },
      "sent",
    );
    assert.equal(status, 200);
    assert.equal(headers["x-own"], undefined);
    assert.match(String(headers["x-request-id"]), /./);
    assert.equal(trailers["x-sum"], "7");
    const got = JSON.parse(body) as { head: string[]; body: string };
    assert.equal(got.body, "sent");
    const field = (name: string): string | undefined => got.head[got.head.indexOf(name) + 1];
    assert.equal(field("cookie"), "a=1; b=2");
    assert.equal(field("Host"), `127.0.0.1:${sidecar.port}`);
    assert.equal(field("Via"), "2.0 outrigger");
    assert.equal((await fetch(sidecar.url)).status, 200);
  });

  test("has many requests at once on one connection, each with its own answer and log line", async () => {
    const paths = Array.from({ length: 300 }, (_, i) => `/many/${i}`);
    const answers = await Promise.all(paths.map((path) => ask(session, { ":path": path, "x-n": path })));
    for (const [i, { status, body }] of answers.entries()) {
      assert.equal(status, 200);
      assert.ok(body.includes(`"${paths[i]}"`));
    }
    await sidecar.line(({ path }) => path === "/many/299");
  });

  test("has many requests in a row on one connection: what was answered is not taken back", async () => {
    const own = http2.connect(sidecar.url);
    for (let i = 0; i < 300; i += 1) {
      const [method, body] = i % 2 === 0 ? ["GET", ""] : ["POST", "x"];
      const { status } = await ask(own, { ":path": "/small", ":method": method }, body);
      assert.equal(status, 200);
    }
    own.destroy();
  });

  test("loses no request of h2load's", async (t) => {
    const args = ["-n", "400", "-c", "4", "-m", "16", sidecar.url];
    const ran = await promisify(execFile)("h2load", args, { timeout: 30_000 }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      },
    );
    if (ran === undefined) return t.skip("h2load is not installed (Debian: nghttp2-client)");
    assert.match(ran.stdout, /400 succeeded, 0 failed, 0 errored/);
    t.diagnostic(/finished in .*/.exec(ran.stdout)?.[0] ?? "");
  });

  test("is refused as one of HTTP/1.1 is", async () => {
    assert.equal((await ask(session, { ":path": "/../../etc" })).status, 400);
    assert.equal((await ask(session, { ":path": "/a%00" })).status, 400);
    assert.equal((await ask(session, { ":path": "/", authorization: "Bearer x.y.z" })).status, 401);
    const { body } = await ask(session, { ":path": "/", "x-user-id": "root" });
    assert.doesNotMatch(body, /root/);
  });

  for (const [what, head] of [
    ["another Host than :authority", requestHead("/", "host", "b.test")],
    ["a :path that is a whole URL", requestHead("http://a.test/")],
    [
      "a :scheme that is none of HTTP's",
      [...requestHead().slice(0, 2), ":scheme", "ftp", ...requestHead().slice(4)],
    ],
    ["a method that nobody knows", [":method", "get", ...requestHead().slice(2)]],
    ["the method of the preface", [":method", "PRI", ...requestHead().slice(2)]],
    ["CONNECT", [":method", "CONNECT", ":authority", "a.test:443"]],
    ["a length for a body that does not come", requestHead("/", "content-length", "5")],
    ["user info in :authority", [...requestHead().slice(0, 6), ":authority", "me@a.test"]],
    ["Transfer-Encoding", requestHead("/", "transfer-encoding", "chunked")],
    ["Connection", requestHead("/", "connection", "close")],
    ["an upper-case name", requestHead("/", "X-A", "1")],
    ["two :path", [...requestHead(), ":path", "/b"]],
    ["no :authority and no Host", requestHead().slice(0, 6)],
  ] as const) {
    test(`never reaches the service with ${what}`, async () => {
      await using client = await FrameClient.open(sidecar.port);
      client.request(1, [...head, "x-marked", "never"]);
      client.request(3, requestHead("/after"));
      const refused = await client.frame(
        ({ stream, type }) => stream === 1 && type !== frameTypes.windowUpdate,
      );
      const isReset = refused === undefined || refused.type === frameTypes.rst;
      // `:status 400`: index 12 of the static table.
      assert.ok(isReset || refused.payload[0] === 0x8c, "neither reset nor refused");
      assert.equal(marked, 0);
    });
  }

  test("a refusal is whole when the rest of the request comes right behind its head", async () => {
    await using client = await FrameClient.open(sidecar.port);
    const post = [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a.test"];
    const head = [...post, "authorization", "Bearer a.b.c"];
    client.send(
      frame(frameTypes.headers, flags.endHeaders, 1, block(head)),
      frame(frameTypes.data, flags.endStream, 1, Buffer.from("x")),
    );
    const first = await client.frame(({ stream }) => stream === 1);
    assert.equal(first?.type, frameTypes.headers);
  });

  for (const [what, bytes, more] of [
    ["longer", "12345", ""],
    ["longer, in two frames,", "123", "45"],
    ["shorter", "12", ""],
  ] as const) {
    test(`a body ${what} than content-length says is reset, and never whole for the service`, async () => {
      wholeBodies = 0;
      await using client = await FrameClient.open(sidecar.port);
      const head = requestHead("/body", "content-length", "3").with(1, "POST");
      client.send(
        frame(frameTypes.headers, flags.endHeaders, 1, block(head)),
        ...(more === "" ? [] : [frame(frameTypes.data, 0, 1, Buffer.from(bytes))]),
        frame(frameTypes.data, flags.endStream, 1, Buffer.from(more || bytes)),
      );
      const ended = await client.frame(
        ({ stream, type }) => stream === 1 && type !== frameTypes.windowUpdate,
      );
      assert.ok(ended === undefined || ended.type === frameTypes.rst, `frame of type ${ended?.type}`);
      assert.equal((await fetch(sidecar.url)).status, 200);
      assert.equal(wholeBodies, 0);
    });
  }

  test("a field with a line end in its value goes no further, which the library sees to", async () => {
    await using client = await FrameClient.open(sidecar.port);
    client.request(1, requestHead("/", "x-a", "1\r\nx-b: 2"));
    const body = await client.frame(({ type, stream }) => type === frameTypes.data && stream === 1);
    assert.match(body?.payload.toString() ?? "", /"head"/);
    assert.doesNotMatch(body?.payload.toString() ?? "", /x-[ab]/i);
  });
});

describe("a client that means harm over HTTP/2", () => {
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await startSidecar({
      policy,
      upstream: (...each) => void echo(...each),
      env: {
        OUTRIGGER_CLIENT_STALL_MS: "300",
        OUTRIGGER_HEADER_TIMEOUT_MS: "300",
        OUTRIGGER_MIN_BYTES_PER_SECOND: "1000000",
      },
    });
  });
  after(() => sidecar.stop());

  /** Somebody else is served all the while. */
  const besides = async (): Promise<void> => {
    assert.equal((await fetch(sidecar.url)).status, 200);
  };

  for (const [word, code] of [
    ["CANCEL", 8],
    ["NO_ERROR", 0],
  ] as const) {
    test(`takes its requests back (${word}): its connection is ended, told and counted, and others are served`, async () => {
      await using client = await FrameClient.open(sidecar.port);
      for (let stream = 1; stream < 4_000 && !client.closed; stream += 2) {
        client.request(stream, requestHead("/hang"));
        client.send(frame(frameTypes.rst, 0, stream, Buffer.from([0, 0, 0, code])));
        if (stream % 101 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      const goaway = await client.frame(({ type }) => type === frameTypes.goaway);
      // What this client sends after the end is met by a reset, which can take the frame from it.
      if (goaway !== undefined) assert.equal(goaway.payload.readUInt32BE(4), 11, "ENHANCE_YOUR_CALM");
      await client.end();
      await besides();
      await sidecar.line(({ refusedBecause }) => /takes back more requests/.test(String(refusedBecause)));
    });
  }

  test("lets no window for its answer: its stream is reset", async () => {
    // SETTINGS_INITIAL_WINDOW_SIZE = 0
    await using client = await FrameClient.open(sidecar.port, Buffer.from([0, 4, 0, 0, 0, 0]));
    client.request(1, requestHead("/large"));
    const reset = await client.frame(({ type, stream }) => type === frameTypes.rst && stream === 1);
    assert.notEqual(reset, undefined);
    await besides();
  });

  test("sends half a body: 408", async () => {
    await using client = await FrameClient.open(sidecar.port);
    const post = [
      ":method",
      "POST",
      ":scheme",
      "http",
      ":path",
      "/",
      ":authority",
      "a.test",
      "content-length",
      "10",
    ];
    client.send(frame(frameTypes.headers, flags.endHeaders, 1, block(post)));
    client.send(frame(frameTypes.data, 0, 1, Buffer.from("12345")));
    const answer = await client.frame(({ type, stream }) => type === frameTypes.headers && stream === 1);
    assert.ok(answer?.payload.includes("408"));
    await besides();
  });

  test("begins with a part of the preface: closed in time", async () => {
    const socket = connect(sidecar.port, "127.0.0.1");
    socket.write("PRI * HT");
    socket.resume();
    await once(socket, "close");
    await besides();
  });

  for (const [what, bytes] of [
    ["pings", frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    ["settings", frame(frameTypes.settings, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100]))],
    ["empty continuations", frame(frameTypes.continuation, 0, 1)],
  ] as const) {
    test(`floods with ${what}, and reads nothing: its connection is ended or takes no memory`, async () => {
      await using client = await FrameClient.open(sidecar.port);
      if (what === "empty continuations") client.send(frame(frameTypes.headers, 0, 1, block(requestHead())));
      const flood = Buffer.concat(Array.from({ length: 1_000 }, () => bytes));
      for (let i = 0; i < 50 && !client.closed; i += 1) {
        client.send(flood);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await besides();
      if (what !== "pings" && what !== "settings") await client.end();
    });
  }

  test("sends a head that is too large: refused, and its other requests served", async () => {
    const session = http2.connect(sidecar.url);
    const outcome = await ask(session, { ":path": "/", "x-large": "x".repeat(40_000) }).then(
      ({ status }) => status,
      (error: NodeJS.ErrnoException) => error.code,
    );
    assert.ok(outcome === 431 || outcome === "ERR_HTTP2_STREAM_ERROR", String(outcome));
    session.destroy();
    await besides();
  });
});

test("what a service sends twice, or no client of HTTP/2 could read, ends its own exchange alone", async () => {
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream(request, response) {
      const status = request.url === "/999" ? 999 : 200;
      response.writeHead(status, ["ETag", '"a"', "ETag", '"b"', "Trailer", "X-Sum"]);
      response.write("x");
      response.addTrailers([
        ["Age", "1"],
        ["X-Sum", "7"],
      ]);
      response.end();
    },
  });
  const session = http2.connect(sidecar.url);
  const twice = await ask(session, { ":path": "/" });
  assert.deepEqual([twice.status, twice.body, twice.trailers["x-sum"]], [200, "x", "7"]);
  assert.equal((await ask(session, { ":path": "/999" })).status, 500);
  session.destroy();
  assert.equal(
    sidecar.lines.some(({ kind }) => kind === "uncaughtException"),
    false,
  );
});

test("over TLS the client chooses by ALPN", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-http2-"));
  const { cert, key } = makeCertificate();
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (...each) => void echo(...each),
    env: { OUTRIGGER_TLS_CERT: files.cert, OUTRIGGER_TLS_KEY: files.key },
  });
  const url = `https://127.0.0.1:${sidecar.port}`;
  const session = http2.connect(url, { rejectUnauthorized: false });
  const { status, body } = await ask(session, { ":path": "/" });
  assert.deepEqual([status, /"X-Forwarded-Proto","https"/.test(body)], [200, true]);
  session.destroy();
  rmSync(folder, { recursive: true });
});

test("a drain loses no request of a hundred that run, tells clients first, and ends", async () => {
  const waiting: http.ServerResponse[] = [];
  const sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => void waiting.push(response),
    env: { OUTRIGGER_DRAIN_MS: "5000" },
  });
  const session = http2.connect(sidecar.url);
  session.on("error", () => {});
  const told = once(session, "goaway");
  const asked = Array.from({ length: 100 }, (_, i) => ask(session, { ":path": `/${i}` }));
  await eventually("all have come to the service", () => waiting.length === 100);
  const stopped = sidecar.stop();
  const [code, lastStream] = (await told) as [number, number];
  assert.deepEqual([code, lastStream], [0, 2 ** 31 - 1]);
  for (const response of waiting) response.end("done");
  const answers = await Promise.all(asked);
  assert.equal(answers.filter(({ status, body }) => status === 200 && body === "done").length, 100);
  await stopped;
});

test("a connection without requests ends in time, whatever its client does, and holds no drain up", async () => {
  const sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (...each) => void echo(...each),
    env: { OUTRIGGER_KEEPALIVE_MS: "200", OUTRIGGER_DRAIN_MS: "3000" },
  });
  await using idle = await FrameClient.open(sidecar.port);
  await idle.end();
  await using second = await FrameClient.open(sidecar.port);
  second.request(1, requestHead("/"));
  await second.frame(({ type, stream }) => type === frameTypes.headers && stream === 1);
  await sidecar.stop();
  await second.end();
});

test("what a client sends behind the announcement of a drain is served", async () => {
  const held: http.ServerResponse[] = [];
  const sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (request, response) =>
      void (request.url === "/held" ? held.push(response) : response.end("late")),
    env: { OUTRIGGER_DRAIN_MS: "5000" },
  });
  await using client = await FrameClient.open(sidecar.port);
  client.request(1, requestHead("/held"));
  await eventually("it runs", () => held.length === 1);
  const stopped = sidecar.stop();
  const told = await client.frame(({ type }) => type === frameTypes.goaway);
  assert.equal(told?.payload.readUInt32BE(0), 2 ** 31 - 1);
  client.request(3, requestHead("/late"));
  const late = await client.frame(({ type, stream }) => type === frameTypes.data && stream === 3);
  assert.equal(late?.payload.toString(), "late");
  held[0]?.end("held");
  const first = await client.frame(({ type, stream }) => type === frameTypes.data && stream === 1);
  assert.equal(first?.payload.toString(), "held");
  await stopped;
  assert.deepEqual(
    sidecar.lines.filter(({ msg }) => msg === "request").map(({ end }) => end),
    ["complete", "complete"],
  );
});

test("a client that leaves by the end of its connection is known to the service", async () => {
  let left = 0;
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (_request, response) => void response.once("close", () => (left += 1)),
  });
  const socket = connect(sidecar.port, "127.0.0.1");
  const head = frame(frameTypes.headers, flags.endStream | flags.endHeaders, 1, block(requestHead("/hang")));
  socket.write(
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameTypes.settings, 0, 0), head]),
  );
  await once(socket, "data");
  socket.end();
  await eventually("the service is left", () => left === 1);
});

test("one client has its share of all requests over HTTP/2, whatever its connections", async () => {
  let reached = 0;
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: () => (reached += 1),
    env: { OUTRIGGER_MAX_CONNECTIONS: "10", OUTRIGGER_CLIENT_SHARE: "80" },
  });
  const clients = [await FrameClient.open(sidecar.port), await FrameClient.open(sidecar.port)];
  for (const [i, client] of clients.entries())
    for (let stream = 1; stream < 10; stream += 2) client.request(stream, requestHead(`/${i}`));
  const refused = (client: FrameClient): number[] =>
    client.frames.flatMap(({ type, payload }) => (type === frameTypes.rst ? [payload.readUInt32BE(0)] : []));
  await eventually("what is too much is refused", () => clients.flatMap(refused).length === 2);
  assert.deepEqual(clients.flatMap(refused), [7, 7], "REFUSED_STREAM");
  await eventually("the rest reaches the service", () => reached === 8);
  for (const client of clients) await client[Symbol.asyncDispose]();
});

test("it can be switched off", async () => {
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream: (...each) => void echo(...each),
    env: { OUTRIGGER_HTTP2_STREAMS: "0" },
  });
  const session = http2.connect(sidecar.url);
  session.on("error", () => {});
  await assert.rejects(ask(session, { ":path": "/" }));
  session.destroy();
  assert.equal((await fetch(sidecar.url)).status, 200);
});
