// The behavioural suite of ServerStream: every implementation has to pass it, whatever its HTTP version.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ServerStream } from "../../src/exchange/server-stream.ts";
import { type OpenStreams, RecordedStream } from "./stream/scene.ts";

const sized = (text: string): string[] => ["Content-Length", String(text.length)];
const piece = Buffer.alloc(64 * 1024, "0123456789abcdef");
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers completely and at once. */
function answer(stream: ServerStream, body: string): void {
  stream.respond(200, undefined, sized(body));
  stream.write(Buffer.from(body));
  stream.end([]);
}

export function describeServerStream(name: string, open: OpenStreams): void {
  describe(name, () => {
    describeHeads(open);
    describeRequestBodies(open);
    describeResponses(open);
    describeEnds(open);
  });
}

function describeHeads(open: OpenStreams): void {
  test("the head comes as it was sent", async () => {
    await using scene = await open();
    const name = scene.isHttp2 ? "x-a" : "X-A";
    const fields = [name, "1", "x-b", "\xe4", name, "2"];
    const { stream } = await scene.ask({ method: "DELETE", target: "/a/%2e?b=%zz", fields });
    const version = scene.isHttp2 ? "2.0" : "1.1";
    assert.deepEqual([stream.method, stream.target, stream.httpVersion], ["DELETE", "/a/%2e?b=%zz", version]);
    const at = stream.fields.indexOf(name);
    assert.deepEqual(stream.fields.slice(at, at + 6), fields);
    assert.deepEqual([stream.tls, stream.upgrades, stream.finished], [undefined, false, false]);
  });

  test("interim responses come before the final one, and none after it", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    stream.interim(102, []);
    stream.interim(103, ["Link", "</a.css>; rel=preload"]);
    stream.respond(200, undefined, sized("a"));
    stream.interim(102, []);
    stream.write(Buffer.from("a"));
    stream.end([]);
    const { interims, status, body, complete } = await client.received;
    assert.deepEqual([interims, status, body, complete], [[102, 103], 200, "a", true]);
    await seen.told("close");
    assert.deepEqual([seen.calls, seen.broken], [["close"], []]);
  });

  for (const [what, status, statusText, fields] of [
    ["a field of 200", 200, undefined, ["X-A", "a\r\nX-B: b"]],
    ["a field of 200 with its own reason", 200, "Fine", ["X-A", "a\r\nX-B: b"]],
    ["a field of 204", 204, undefined, ["X-A", "a\r\nX-B: b"]],
    ["a field of 304", 304, "Not Modified", ["X-A", "a\r\nX-B: b"]],
    ["a field behind its length", 200, undefined, ["Content-Length", "1", "X-A", "a\r\nX-B: b"]],
    ["a field behind its end", 200, undefined, ["Connection", "close", "X-A", "a\r\nX-B: b"]],
    ["a field's name", 304, undefined, ["X-A\r\nX-B", "a"]],
    ["a reason", 304, "Not\r\nX-B: b", []],
  ] as const) {
    test(`a head that cannot be sent (${what}) throws, and another can be given in its place`, async () => {
      await using scene = await open();
      const { stream, client } = await scene.ask();
      const seen = new RecordedStream(stream);
      assert.throws(() => stream.respond(status, statusText, fields));
      assert.equal(stream.status, 0);
      stream.respond(500, undefined, sized("not well"));
      stream.write(Buffer.from("not well"));
      stream.end([]);
      const received = await client.received;
      assert.deepEqual([received.status, received.body, received.complete], [500, "not well", true]);
      if (scene.hasConnections) assert.equal(received.statusText, "Internal Server Error");
      assert.equal(received.fields.includes("close"), false);
      await seen.told("close");
      assert.deepEqual(seen.broken, []);
    });
  }
}

function describeRequestBodies(open: OpenStreams): void {
  for (const body of ["chunked", 3 * piece.length] as const) {
    test(`a body (${body}) comes whole, waits while its reader does, and then is complete`, async () => {
      await using scene = await open();
      const { stream, client } = await scene.ask({ method: "POST", body });
      const seen = new RecordedStream(stream);
      let pauses = 0;
      seen.on["data"] = () => {
        pauses += 1;
        seen.pause();
        setImmediate(() => seen.resume());
      };
      stream.read(seen);
      for (let i = 0; i < 3; i += 1) client.send(piece);
      client.endBody(["X-Sum", "1"]);
      await seen.told("end");
      assert.equal(seen.body, piece.toString("latin1").repeat(3));
      const sum = scene.isHttp2 ? "x-sum" : "X-Sum";
      assert.deepEqual(seen.trailers, body === "chunked" ? [sum, "1"] : []);
      assert.ok(pauses > 0 && stream.complete);
      answer(stream, "ok");
      await seen.told("close");
      assert.deepEqual(seen.broken, []);
    });
  }

  test("a reader that stays paused gets no more; the next one gets the rest", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "POST", body: 8 });
    const first = new RecordedStream(stream);
    first.on["data"] = () => first.pause();
    stream.read(first);
    client.send("1234");
    await first.told("data");
    client.send("5678");
    for (let i = 0; i < 20; i += 1) await turn();
    assert.equal(first.body, "1234");
    const second = new RecordedStream(stream);
    stream.read(second);
    stream.resume();
    await second.told("end");
    assert.deepEqual([first.body, second.body], ["1234", "5678"]);
    assert.deepEqual([...first.broken, ...second.broken], []);
    answer(stream, "ok");
    await client.received;
  });

  test("a silence is told once, and not while nobody is waited for", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "POST", body: 4 });
    const seen = new RecordedStream(stream);
    stream.read(seen);
    stream.awaitBody(20);
    stream.awaitBody(0);
    client.send("12");
    await seen.told("data");
    assert.deepEqual(seen.calls, ["data"]);
    stream.awaitBody(20);
    await seen.told("stall");
    client.send("34");
    await seen.told("end");
    assert.deepEqual(seen.calls, ["data", "stall", "data", "end"]);
    answer(stream, "ok");
    assert.equal((await client.received).complete, true);
  });

  test("what cannot be read is told, and can be answered", async (context) => {
    await using scene = await open();
    if (scene.isHttp2) {
      context.skip("its library answers for itself");
      return;
    }
    const { stream, client } = await scene.ask({ method: "POST", body: "chunked" });
    const seen = new RecordedStream(stream);
    stream.read(seen);
    client.sendNonsense();
    await seen.told("malformed");
    assert.equal(seen.error?.code, "malformed_request");
    stream.respond(400, undefined, ["Content-Length", "0", "Connection", "close"]);
    stream.end([]);
    assert.equal((await client.received).status, 400);
    await seen.told("close");
    assert.equal(seen.calls.includes("end"), false);
    assert.deepEqual(seen.broken, []);
  });
}

function describeResponses(open: OpenStreams): void {
  test("a head leaves by itself when its body is slow", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    stream.respond(200, "Fine", []);
    while (stream.bytesWritten === 0) await turn();
    stream.write(Buffer.from("a"));
    stream.end([]);
    const { statusText, body, complete } = await client.received;
    assert.deepEqual([statusText, body, complete], [scene.isHttp2 ? "" : "Fine", "a", true]);
    await seen.told("close");
    assert.ok(stream.finished);
  });

  test("trailers follow a body whose length was not announced", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    assert.deepEqual([stream.takesTrailers(false)], [true]);
    stream.respond(200, undefined, ["Trailer", "X-Sum"]);
    stream.write(Buffer.from("ab"));
    stream.end(["X-Sum", "1", "X-More", "2"]);
    const { body, trailers, complete } = await client.received;
    const names = scene.isHttp2 ? ["x-sum", "x-more"] : ["X-Sum", "X-More"];
    assert.deepEqual([body, trailers, complete], ["ab", [names[0], "1", names[1], "2"], true]);
    await seen.told("close");
    assert.deepEqual(seen.broken, []);
  });

  test("a client that takes nothing blocks the response, and what it takes later is whole", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    client.pause();
    const pieces = 256;
    stream.respond(200, undefined, ["Content-Length", String(pieces * piece.length)]);
    let sent = 0;
    const more = (): void => {
      while (sent < pieces) {
        sent += 1;
        if (!stream.write(piece)) return;
      }
      stream.end([]);
    };
    seen.on["writable"] = more;
    more();
    await seen.told("blocked");
    for (let i = 0; i < 50; i += 1) await turn();
    assert.ok(sent < pieces, "it had to wait");
    assert.ok(stream.waitingBytes > 0);
    client.resume();
    const { body, complete } = await client.received;
    assert.equal(body.length, pieces * piece.length);
    assert.ok(complete);
    await seen.told("close");
    assert.deepEqual(seen.broken, []);
  });

  test("an answer to HEAD has no body", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "HEAD" });
    const seen = new RecordedStream(stream);
    stream.respond(200, undefined, ["Content-Length", "5"]);
    stream.end([]);
    const { status, body, complete } = await client.received;
    assert.deepEqual([status, body, complete], [200, "", true]);
    await seen.told("close");
  });
}

function describeEnds(open: OpenStreams): void {
  test("a client that leaves before its body is complete breaks both", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "POST", body: "chunked" });
    const seen = new RecordedStream(stream);
    stream.read(seen);
    client.send("ab");
    await seen.told("data");
    client.leave();
    await seen.told("close");
    await seen.told("broken");
    assert.deepEqual([stream.finished, stream.destroyed, seen.broken], [false, true, []]);
    stream.write(Buffer.from("for nobody"));
    const late = new RecordedStream(stream);
    stream.read(late);
    assert.deepEqual(late.calls, ["broken"]);
  });

  test("a client that ends its side with its request still gets the answer", async (context) => {
    await using scene = await open();
    if (scene.isHttp2) {
      context.skip("every request ends its side");
      return;
    }
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    client.halfClose();
    await seen.told("half-closed");
    answer(stream, "late");
    const { body, complete } = await client.received;
    assert.deepEqual([body, complete], ["late", true]);
  });

  test("a reset answer cannot be taken for a complete one", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask();
    const seen = new RecordedStream(stream);
    stream.respond(200, undefined, []);
    stream.write(Buffer.from("a part"));
    await turn();
    stream.reset();
    assert.equal((await client.received).complete, false);
    await seen.told("close");
    await client.closed;
    assert.deepEqual([stream.finished, seen.broken], [false, []]);
  });

  test("a response can end while the request is still read, and the connection with it", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "POST", body: 1_000_000 });
    const seen = new RecordedStream(stream);
    stream.respond(413, undefined, ["Content-Length", "2", "Connection", "close"]);
    stream.write(Buffer.from("no"));
    stream.endHalf();
    stream.read(seen);
    const before = stream.bytesRead;
    client.send("more");
    await seen.told("data");
    assert.ok(stream.bytesRead > before);
    const { status, body, complete } = await client.received;
    assert.deepEqual([status, body, complete], [413, "no", true]);
    stream.destroy();
    await seen.told("close");
    assert.deepEqual([stream.destroyed, seen.broken], [true, []]);
  });

  test("a connection whose request still comes can be ended behind the response", async () => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ method: "POST", body: 1_000_000 });
    const seen = new RecordedStream(stream);
    stream.read(seen);
    answer(stream, "early");
    assert.equal((await client.received).body, "early");
    await seen.told("close");
    client.send("more");
    await seen.told("data");
    stream.destroy();
    await seen.told("broken");
    assert.deepEqual(seen.broken, []);
  });

  test("an upgrade hands its connection over with what came early, and nothing is told of it any more", async (context) => {
    await using scene = await open();
    const { stream, client } = await scene.ask({ upgrade: "echo" });
    const seen = new RecordedStream(stream);
    assert.equal(stream.upgrades, scene.hasConnections);
    if (!scene.hasConnections) {
      context.skip("it has no connection to hand over");
      return;
    }
    client.send("early");
    for (let i = 0; i < 20; i += 1) await turn();
    const { side, early } = stream.detach([]);
    let text = early.toString();
    side.on("data", (chunk: Buffer) => (text += chunk.toString())).resume();
    client.send(" and late");
    while (text.length < "early and late".length) await turn();
    assert.equal(text, "early and late");
    client.leave();
    await new Promise((resolve) => side.once("end", resolve));
    side.destroy();
    await turn();
    assert.deepEqual([seen.calls, seen.broken], [[], []]);
  });
}
