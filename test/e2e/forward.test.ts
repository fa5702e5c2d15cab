// The forward: what goes through, what stops here, and how it ends when either side breaks.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { connectRaw, requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const policy = { plugins: ["logging"], routes: [{ path: "/*", timeout: 400 }] };

describe("the forward, byte by byte", () => {
  let service: RawService;
  let sidecar: TestSidecar;
  before(async () => {
    service = await startRawService();
    sidecar = await startSidecar({ policy, upstream: service.url });
  });
  after(async () => {
    service.close();
    await sidecar.stop();
  });

  /** Sends a request through and hands over both ends. */
  const exchange = async (request: string) => {
    const client = await connectRaw(sidecar.port);
    client.send(request);
    const upstream = await service.next();
    const head = await upstream.until((text) => text.includes("\r\n\r\n"));
    return { client, upstream, head };
  };
  const close = "Connection: close\r\n";

  it("the method, target and end-to-end fields arrive as they were sent", async () => {
    const { client, upstream, head } = await exchange(
      requestText("PATCH", "/a/b?x=%2F&y=1", [
        "Host: Api.Example:81",
        "X-Mixed-Case: Caf\xe9",
        "X-Two: 1",
        "X-Two: 2",
      ]),
    );
    assert.match(head, /^PATCH \/a\/b\?x=%2F&y=1 HTTP\/1\.1\r\n/);
    assert.match(head, /\r\nHost: Api\.Example:81\r\n/);
    assert.match(head, /\r\nX-Mixed-Case: Caf\xe9\r\n/);
    assert.match(head, /\r\nX-Two: 1\r\nX-Two: 2\r\n/);
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${close}\r\n`);
    assert.equal((await client.answer()).status, 200);
    client.end();
  });

  it("an absolute target goes on in origin form", async () => {
    const { client, upstream, head } = await exchange(requestText("GET", "http://api.example/a?b"));
    assert.match(head, /^GET \/a\?b HTTP\/1\.1\r\n/);
    upstream.send(`HTTP/1.1 204 No Content\r\n${close}\r\n`);
    assert.equal((await client.answer()).status, 204);
    client.end();
  });

  it("the path that is forwarded is the normalised one: an encoded dot segment cannot walk past the policy", async () => {
    const { client, upstream, head } = await exchange(requestText("GET", "/public/%2e%2e/admin//x/./%41"));
    assert.match(head, /^GET \/admin\/x\/A HTTP\/1\.1\r\n/);
    upstream.send(`HTTP/1.1 204 No Content\r\n${close}\r\n`);
    await client.answer();
    client.end();
  });

  it("hop-by-hop fields, and those that Connection names, stop here in both directions", async () => {
    const { client, upstream, head } = await exchange(
      requestText("GET", "/", [
        "Connection: close, X-Secret-Hop",
        "X-Secret-Hop: 1",
        "Keep-Alive: timeout=9",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Upgrade: h2c",
      ]),
    );
    for (const name of [
      "X-Secret-Hop",
      "Keep-Alive",
      "Proxy-Authorization",
      "Proxy-Connection",
      "TE",
      "Upgrade",
    ]) {
      assert.doesNotMatch(head, new RegExp(`\\r\\n${name}:`, "i"));
    }
    upstream.send(
      `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Their-Hop\r\nX-Their-Hop: 1\r\nKeep-Alive: timeout=1\r\nX-Kept: 1\r\n\r\nhi`,
    );
    const answer = await client.answer();
    assert.equal(answer.field("x-their-hop"), undefined);
    assert.notEqual(answer.field("keep-alive"), "timeout=1");
    assert.equal(answer.field("x-kept"), "1");
    await client.closed;
  });

  it("a chunked DELETE cannot smuggle: its body stays its body", async () => {
    const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    const { client, upstream } = await exchange(
      requestText(
        "DELETE",
        "/",
        ["Transfer-Encoding: chunked"],
        `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
      ),
    );
    const received = await upstream.until((text) => text.endsWith("0\r\n\r\n"));
    assert.match(received, /\r\nTransfer-Encoding: chunked\r\n/);
    assert.doesNotMatch(received, /Content-Length/i);
    assert.ok(received.includes(`\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n`));
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${close}\r\n`);
    await client.answer();
    client.end();
  });

  it("chunks and trailers pass both ways", async () => {
    const { client, upstream } = await exchange(
      requestText(
        "POST",
        "/",
        ["Transfer-Encoding: chunked", "Trailer: X-Sum", "Connection: TE", "TE: trailers"],
        "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
      ),
    );
    const received = await upstream.until((text) => text.endsWith("\r\n\r\n") && text.includes("X-Sum: 1"));
    assert.match(received, /3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n$/);
    upstream.send(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Digest\r\n${close}\r\n2\r\nhi\r\n0\r\nX-Digest: 9\r\n\r\n`,
    );
    const text = await client.until((received) => received.includes("X-Digest: 9\r\n\r\n"));
    assert.match(text, /\r\n2\r\nhi\r\n0\r\nX-Digest: 9\r\n\r\n$/);
    client.end();
  });

  it("repeated response fields stay apart", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send(
      `HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-R: 1\r\nX-R: 2\r\nContent-Length: 0\r\n${close}\r\n`,
    );
    const answer = await client.answer();
    assert.deepEqual(
      answer.fields.filter(([name]) => name === "set-cookie" || name === "x-r").map(([, value]) => value),
      ["a=1", "b=2", "1", "2"],
    );
    client.end();
  });

  it("early hints (103) arrive before the answer", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload; as=style\r\n\r\n");
    const hints = await client.answer();
    assert.equal(hints.status, 103);
    assert.equal(hints.field("link"), "</a.css>; rel=preload; as=style");
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${close}\r\n`);
    assert.equal((await client.answer()).status, 200);
    client.end();
  });

  it("Expect: 100-continue is the service's to answer", async () => {
    const { client, upstream, head } = await exchange(
      requestText("POST", "/", ["Expect: 100-continue", "Content-Length: 3"]),
    );
    assert.match(head, /\r\nExpect: 100-continue\r\n/i);
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert.equal((await client.answer()).status, 100);
    client.send("abc");
    await upstream.until((text) => text.endsWith("abc"));
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${close}\r\n`);
    assert.equal((await client.answer()).status, 200);
    client.end();
  });

  it("a service that refuses the expectation is heard without the body", async () => {
    const { client, upstream } = await exchange(
      requestText("POST", "/", ["Expect: 100-continue", "Content-Length: 3"]),
    );
    upstream.send(`HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n${close}\r\n`);
    assert.equal((await client.answer()).status, 413);
    client.end();
  });

  for (const [what, request, response] of [
    ["HEAD", requestText("HEAD", "/"), "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n"],
    ["304", requestText("GET", "/"), 'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 1234\r\n'],
    ["204", requestText("GET", "/"), "HTTP/1.1 204 No Content\r\n"],
  ] as const) {
    it(`${what} has no body, and the connection goes on`, async () => {
      const { client, upstream } = await exchange(request);
      upstream.send(`${response}${close}\r\n`);
      const text = await client.until((received) => received.includes("\r\n\r\n"));
      if (what !== "204") assert.match(text, /\r\nContent-Length: 1234\r\n/);
      assert.match(text, /\r\n\r\n$/);
      const before = client.received().length;
      client.send(requestText("GET", "/again"));
      (await service.next()).send(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${close}\r\n`);
      assert.match(await client.until((received) => received.length > before), /HTTP\/1\.1 200 OK/);
      client.end();
    });
  }

  it("an HTTP/1.0 client gets a body it can read: no chunks, no interim answers", async () => {
    const { client, upstream } = await exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
    upstream.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${close}\r\n2\r\nhi\r\n0\r\n\r\n`);
    const { rest } = await client.closed;
    assert.match(rest, /^HTTP\/1\.1 200 OK\r\n/);
    assert.doesNotMatch(rest, /transfer-encoding/i);
    assert.match(rest, /\r\n\r\nhi$/);
  });

  it("an answer without a length ends with the service's connection", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send("HTTP/1.1 200 OK\r\n\r\nto the end");
    upstream.end();
    assert.equal((await client.answer()).body, "to the end");
    client.end();
  });

  it("an event is with the client at once", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/events"));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    await client.until((text) => text.includes("\r\n\r\n"));
    upstream.send("9\r\ndata: 1\n\n\r\n");
    await client.until((text) => text.includes("data: 1\n\n"));
    client.socket.destroy();
    await upstream.closed;
  });

  it("a service that dies in the middle of a body reaches the client as a reset, never as an end", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    await client.until((text) => text.endsWith("half"));
    upstream.socket.resetAndDestroy();
    assert.equal((await client.closed).reset, true);
    const line = await sidecar.line((entry) => entry["end"] === "upstream-aborted");
    assert.equal(line["status"], 200);
  });

  it("a chunked body that just stops is no complete body either", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    await client.until((text) => text.includes("hi"));
    upstream.end();
    const { reset, rest } = await client.closed;
    assert.equal(reset, true);
    assert.doesNotMatch(rest, /0\r\n\r\n$/);
  });

  it("a client that leaves takes the upstream's request with it, and the line says so", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/left"));
    client.socket.destroy();
    await upstream.closed;
    const line = await sidecar.line((entry) => entry["path"] === "/left");
    assert.equal(line["end"], "client-aborted");
  });

  it("a client that leaves in the middle of its upload resets the upstream's", async () => {
    const { client, upstream } = await exchange(
      requestText("POST", "/", ["Transfer-Encoding: chunked"], "4\r\nhalf\r\n"),
    );
    await upstream.until((text) => text.includes("half"));
    client.socket.destroy();
    await upstream.closed;
  });

  it("no answer in time: 504, and the service's side is given up", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/never"));
    const answer = await client.answer();
    assert.equal(answer.status, 504);
    assert.equal((JSON.parse(answer.body) as { error: string }).error, "Upstream timeout");
    await upstream.closed;
    client.end();
  });

  it("the time limit goes on after the response head: a body that stalls is broken off", async () => {
    const { client, upstream } = await exchange(requestText("GET", "/"));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    assert.equal((await client.closed).reset, true);
    await upstream.closed;
  });

  for (const [what, bytes] of [
    ["is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["has two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    [
      "has a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["has a NUL in a field", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"],
  ] as const) {
    it(`an answer that ${what} is a 502 and its connection is closed`, async () => {
      const { client, upstream } = await exchange(requestText("GET", "/"));
      upstream.send(bytes);
      const answer = await client.answer();
      assert.equal(answer.status, 502);
      assert.equal((JSON.parse(answer.body) as { error: string }).error, "Upstream unavailable");
      await upstream.closed;
      client.end();
    });
  }

  it("an upstream that hangs up without an answer is a 502", async () => {
    const { client, upstream } = await exchange(requestText("POST", "/", ["Content-Length: 0"]));
    upstream.end();
    assert.equal((await client.answer()).status, 502);
    client.end();
  });
});

describe("connections to the service", () => {
  it("a refused connection is a 502 that says so in Proxy-Status", async () => {
    const service = await startRawService();
    service.close();
    const sidecar = await startSidecar({ policy, upstream: service.url });
    const answer = await fetch(sidecar.url);
    assert.equal(answer.status, 502);
    assert.equal(answer.headers.get("proxy-status"), "outrigger; error=connection_refused");
    await answer.body?.cancel();
    await sidecar.stop();
  });

  it("are kept and used again", async () => {
    const sidecar = await startSidecar({ policy, upstream: (_request, response) => response.end("ok") });
    let connections = 0;
    sidecar.service?.on("connection", () => (connections += 1));
    for (let i = 0; i < 10; i += 1) assert.equal(await (await fetch(`${sidecar.url}/${i}`)).text(), "ok");
    assert.equal(connections, 1);
    await sidecar.stop();
  });

  it("one that the service had closed meanwhile costs a silent retry, not a 502", async () => {
    let served = 0;
    const service = await startRawService((client) => {
      const onRequest = (): void => {
        if (!client.received().endsWith("\r\n\r\n")) return;
        served += 1;
        // The second request on a connection finds it closed: that is how an idle limit looks from here.
        if (client.received().split("GET ").length > 2) client.socket.resetAndDestroy();
        else client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      client.socket.on("data", onRequest);
    });
    const sidecar = await startSidecar({ policy, upstream: service.url });
    for (let i = 0; i < 4; i += 1) assert.equal((await fetch(`${sidecar.url}/${i}`)).status, 200);
    assert.ok(served > 4);
    await sidecar.stop();
    service.close();
  });

  it("work over a unix socket", async () => {
    const path = `/tmp/outrigger-${process.pid}.sock`;
    const server = http.createServer((request, response) => response.end(request.url));
    server.listen(path);
    await once(server, "listening");
    const sidecar = await startSidecar({ policy, upstream: `unix:${path}` });
    assert.equal(await (await fetch(`${sidecar.url}/over/unix`)).text(), "/over/unix");
    await sidecar.stop();
    server.close();
  });
});
