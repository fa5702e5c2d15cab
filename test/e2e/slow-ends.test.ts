// Connections that do not end all at once: a client that has sent everything, an answer that comes before the request
// is complete, a body that turns out to be malformed.
import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, describe, it } from "node:test";
import { connectRaw } from "../support/raw-client.ts";
import { requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

let sidecar: TestSidecar;
let release: (() => void) | undefined;
let heard = 0;
let aborted = 0;

beforeEach(async () => {
  heard = 0;
  aborted = 0;
  release = undefined;
  sidecar = await startSidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*" }, { path: "/closed", services: ["other"] }] },
    env: { OUTRIGGER_MAX_BODY_BYTES: "1000000" },
    upstream: (request, response) => {
      heard += 1;
      response.once("close", () => (aborted += response.writableFinished ? 0 : 1));
      if (request.url === "/early") response.end("early");
      else if (request.url === "/gap") {
        response.write("first");
        release = () => response.end("second");
      } else if (request.url !== "/slow") request.resume().once("end", () => response.end("answer"));
      else release = () => response.end("answer");
    },
  });
});
afterEach(() => sidecar.stop());

describe("a client that ends its side behind the request", () => {
  it("gets its answer, and the end of the connection", async () => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("GET", "/"));
    assert.match(await client.rest(), /^HTTP\/1\.1 200 OK\r\n.*Connection: close\r\n\r\nanswer$/s);
  });

  it("gets a late one too, behind interim responses", async () => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("GET", "/slow"));
    await client.until("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    release?.();
    assert.match(await client.rest(), /^HTTP\/1\.1 200 OK\r\n.*Connection: close\r\n\r\nanswer$/s);
    assert.equal(aborted, 0);
  });

  it("gets both answers of two requests", async () => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("GET", "/1") + requestText("GET", "/2"));
    assert.equal((await client.rest()).split("HTTP/1.1 200 OK").length, 3);
  });

  it("is not taken for gone while the service is silent in the middle of its answer", async () => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("GET", "/gap"));
    await client.until("first");
    // Longer than any look at it.
    await new Promise((resolve) => setTimeout(resolve, 5_600));
    release?.();
    assert.match(await client.rest(), /second/);
  });

  it("and has left: the request to the service is broken off", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/slow"));
    await eventually("the request", () => release !== undefined);
    client.socket.destroy();
    await eventually("the abort", () => aborted === 1, 4_000);
    await sidecar.line((line) => line["msg"] === "request" && line["path"] === "/slow");
  });

  it("in the middle of a body has left", async () => {
    const client = await connectRaw(sidecar.port);
    client.end(requestText("POST", "/", ["Content-Length: 10"], "half"));
    await client.closed;
    assert.equal(client.received, "");
  });
});

describe("a body that breaks the chunked coding", () => {
  for (const [what, body] of [
    ["a bare LF behind a size", "5\nhello\r\n0\r\n\r\n"],
    ["a bare LF behind data", "5\r\nhello\n0\r\n\r\n"],
    ["a bare LF behind the last chunk", "5\r\nhello\r\n0\n\n"],
    ["a size that is none", "zz\r\n"],
  ] as const) {
    it(`by ${what} is told so with a 400, logged once`, async () => {
      const client = await connectRaw(sidecar.port);
      client.send(requestText("POST", "/", ["Transfer-Encoding: chunked"], body));
      assert.match(await client.rest(), /^HTTP\/1\.1 400 .*"malformed_request".*\}$/s);
      await sidecar.line((line) => line["status"] === 400);
      assert.equal(sidecar.lines.filter((line) => line["status"] !== undefined).length, 1);
      client.end();
    });
  }

  it("behind an answer that has begun closes the connection", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/nowhere", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n"));
    client.send("5\nhello\r\n");
    assert.equal((await client.rest()).split("HTTP/1.1").length, 2);
    client.end();
  });
});

describe("an answer before its upload is through", () => {
  const piece = Buffer.alloc(64 * 1024);

  it("arrives whole, however much the client goes on to send", async () => {
    const client = await connectRaw(sidecar.port);
    client.socket.pause();
    client.send(requestText("POST", "/", ["Content-Length: 50000000"]));
    // Less than it announced: what came behind the body would be another request.
    for (let sent = 0; sent < 760; sent += 1) {
      client.send(piece);
      if (client.socket.writableNeedDrain) await Promise.race([once(client.socket, "drain"), client.closed]);
    }
    client.socket.resume();
    assert.match(await client.rest(), /^HTTP\/1\.1 413 .*"payload_too_large".*\}$/s);
    assert.equal(client.socket.destroyed, false, "no reset");
    assert.equal(heard, 0);
    client.end();
    await client.closed;
  });

  it("is logged when it is written, not when the client is silent at last", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Content-Length: 50000000"], "a"));
    await client.until('"payload_too_large"');
    const askedMono = performance.now();
    await sidecar.line((line) => line["status"] === 413);
    assert.ok(performance.now() - askedMono < 4_000);
    client.end();
  });
});

describe("an answer of the service before the upload is through", () => {
  const chunk = Buffer.from(`10000\r\n${"x".repeat(64 * 1024)}\r\n`);

  const answered = async (): Promise<Awaited<ReturnType<typeof connectRaw>>> => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/early", ["Transfer-Encoding: chunked"], "1\r\na\r\n"));
    await client.until("\r\n\r\nearly");
    return client;
  };

  it("leaves the connection to the next request, when the rest comes in time", async () => {
    const client = await answered();
    client.send(`1\r\nb\r\n0\r\n\r\n${requestText("GET", "/next")}`);
    assert.match(await client.head(), /^HTTP\/1\.1 200 /);
    client.end();
  });

  it("bounds the rest by the largest body; the connection ends behind the answer", async () => {
    const client = await answered();
    for (let sent = 0; sent < 1_000 && !client.socket.readableEnded; sent += 1) {
      client.send(chunk);
      if (client.socket.writableNeedDrain) await Promise.race([once(client.socket, "drain"), client.ended]);
    }
    assert.ok(client.socket.readableEnded, "60 MB were taken");
    assert.equal(client.socket.errored, null, "no reset before its end is seen");
    const isReset = (): boolean => {
      client.send("x");
      return client.socket.destroyed;
    };
    await eventually("the reset", isReset, 8_000);
  });

  it("ends a connection that its client wanted to end without a reset, when the body has come", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/early", ["Connection: close", "Transfer-Encoding: chunked"]));
    await client.ended;
    for (let sent = 0; sent < 4; sent += 1) {
      client.send(chunk);
      if (client.socket.writableNeedDrain) await Promise.race([once(client.socket, "drain"), client.closed]);
    }
    client.send(`0\r\n\r\n${requestText("GET", "/behind")}`);
    client.end();
    await client.closed;
    assert.equal(client.socket.errored, null, "no reset while its body comes");
    assert.match(client.received, /^HTTP\/1\.1 200 .*\r\n\r\nearly$/s);
    assert.equal(heard, 1, "what comes behind the body is no request");
  });

  it("is followed by the end of a connection whose client falls silent", async () => {
    const client = await answered();
    await client.ended;
    client.end();
  });
});
