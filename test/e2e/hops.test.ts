// What belongs to one hop only: fields that a peer names in Connection, loops, targets in every form, and odd response
// heads.
import assert from "node:assert/strict";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { after, before, describe, it, test } from "node:test";
import { registry } from "../../plugins/index.ts";
import { guardPlugin } from "../support/plugins.ts";
import { connectRaw, requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("fields that a peer names in Connection", () => {
  it("cannot hide the client's address that a trusted proxy told", async () => {
    const sidecar = await startSidecar({
      policy: { plugins: ["logging"] },
      env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8" },
      upstream: (request, response) => response.end(request.headers["x-forwarded-for"]),
    });
    const client = await connectRaw(sidecar.port);
    client.send(
      requestText("GET", "/", ["X-Forwarded-For: 203.0.113.9", "Connection: close, X-Forwarded-For"]),
    );
    assert.equal((await client.answer()).body, "203.0.113.9, 127.0.0.1");
    const line = await sidecar.line((entry) => entry["msg"] === "request");
    assert.equal(line["clientIp"], "203.0.113.9");
    await sidecar.stop();
  });

  it("take nothing away that the message needs", async () => {
    const sidecar = await startSidecar({
      policy: { plugins: [] },
      upstream: (request, response) => {
        request.resume().once("end", () => response.end(JSON.stringify(request.headers)));
      },
    });
    const client = await connectRaw(sidecar.port);
    const names = "Host, Content-Length, Content-Type, Authorization, X-Own";
    const fields = ["Content-Type: text/plain", "Authorization: Basic eA==", "X-Own: 1", "Content-Length: 2"];
    client.send(requestText("POST", "/", [`Connection: close, ${names}`, ...fields], "hi"));
    const heard = JSON.parse((await client.answer()).body) as Record<string, string>;
    assert.equal(heard["host"], "api.example");
    assert.equal(heard["content-length"], "2");
    assert.equal(heard["content-type"], "text/plain");
    // A client may leave its credentials away, and then nobody sees them: neither the policy nor the service.
    assert.equal(heard["authorization"], undefined);
    assert.equal(heard["x-own"], undefined);
    await sidecar.stop();
  });

  it("by a service: they are gone, ours of the same name are not", async () => {
    const sidecar = await startSidecar({
      policy: {
        plugins: ["logging", "transform"],
        pluginConfig: { transform: { addResponseHeaders: { "X-Frame-Options": "DENY" } } },
      },
      upstream: (_request, response) => {
        response.writeHead(200, [
          "Connection",
          "close, X-Request-Id, X-Frame-Options, X-Theirs",
          "X-Request-Id",
          "theirs",
          "X-Theirs",
          "1",
        ]);
        response.end("ok");
      },
    });
    const answer = await fetch(sidecar.url);
    assert.equal(answer.headers.get("x-frame-options"), "DENY");
    assert.match(answer.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.equal(answer.headers.get("x-theirs"), null);
    await sidecar.stop();
  });
});

describe("a sidecar whose upstream is itself", () => {
  it("ends the loop with an error after a few rounds", async () => {
    const probe = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const sidecar = await startSidecar({
      policy: { plugins: ["logging"] },
      upstream: `http://127.0.0.1:${port}`,
      env: { OUTRIGGER_LISTEN: `127.0.0.1:${port}` },
    });
    const answer = await fetch(sidecar.url);
    assert.equal(answer.status, 502);
    assert.equal(((await answer.json()) as { code: string }).code, "proxy_loop");
    assert.equal(answer.headers.get("proxy-status"), "outrigger; error=proxy_loop_detected");
    await sidecar.stop();
    const rounds = sidecar.lines.filter((line) => line["msg"] === "request").length;
    assert.ok(rounds <= 20, String(rounds));
  });
});

describe("a target", () => {
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await startSidecar({
      policy: {
        plugins: [],
        routes: [{ path: "/*" }, { path: "/guarded/*", plugins: ["guard"] }],
      },
      registry: [...registry, guardPlugin],
      upstream: (request, response) =>
        response.end(`${request.method} ${request.url} ${request.headers.host}`),
    });
  });
  after(() => sidecar.stop());
  const ask = async (method: string, target: string, host = "api.example") => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText(method, target, [`Host: ${host}`, "Connection: close"]));
    const { status, body } = await client.answer();
    client.end();
    return status === 200 ? body : status;
  };

  for (const [target, host, heard] of [
    ["http://api.example/a?b", "api.example", "GET /a?b api.example"],
    ["http://API.example:81/a", "api.EXAMPLE:81", "GET /a api.EXAMPLE:81"],
    ["HTTP://api.example", "api.example", "GET / api.example"],
    ["http://api.example?q", "api.example", "GET /?q api.example"],
    ["http://[::1]:81/a", "[::1]:81", "GET /a [::1]:81"],
    ["http://api.example./a", "api.example.", "GET /a api.example."],
    ["https://api.example/a", "api.example", "GET /a api.example"],
    ["http://me:secret@api.example/a", "api.example", 400],
    ["http://api.example./a", "api.example", 400],
    ["http://api.example:81/a", "api.example", 400],
    ["http:///a", "api.example", 400],
    ["http://api.example\\@other/a", "api.example", 400],
    ["/a", "[::1", 400],
    ["/a", "api.example:", "GET /a api.example"],
    ["http://api.example:/a", "api.example", "GET /a api.example"],
    ["/a", "[::1]:", "GET /a [::1]"],
    ["/a", ":", 400],
    ["/a", "api.example:99999999", 400],
  ] as const) {
    it(`${target} with Host ${host}: ${heard}`, async () => {
      assert.equal(await ask("GET", target, host), heard);
    });
  }

  for (const [target, heard] of [
    ["//host/path", "/host/path"],
    ["///", "/"],
    ["/a//b/./c/../d", "/a/b/d"],
    ["/a;x=1/b;y", "/a;x=1/b;y"],
    ["/a;..;/b", "/a;..;/b"],
    ["/;x", "/;x"],
    ["/a/%2E%2e/b", "/b"],
    ["/a%2fb", "/a%2Fb"],
    ["/?a=/../b&c=%2e%2e", "/?a=/../b&c=%2e%2e"],
    ["/a?x=http://[", "/a?x=http://["],
  ] as const) {
    it(`${target} arrives as ${heard}`, async () => {
      assert.equal(await ask("GET", target), `GET ${heard} api.example`);
    });
  }

  for (const target of [
    "/%2e%2e%2f",
    "/%252e%252e/a",
    "/%c0%ae%c0%ae/a",
    "/a%5cb",
    "/guarded/a%2f..%2fb",
    "/guarded/%5c..%5cb",
    "/guarded/;/b",
    "/guarded/;x/b",
    "/guarded/%c0%ae%c0%ae/b",
    "/guarded/%c0%afb",
    "/guarded/%e0%80%af",
  ]) {
    it(`${target}, which services read in different ways, is refused`, async () => {
      assert.equal(await ask("GET", target), 400);
    });
  }

  it("with Max-Forwards goes that far, for OPTIONS", async () => {
    const heard: (string | undefined)[] = [];
    const own = await startSidecar({
      policy: { plugins: [] },
      upstream: (request, response) => {
        heard.push(`${request.method} ${String(request.headers["max-forwards"])}`);
        response.end();
      },
    });
    const statuses: number[] = [];
    for (const [method, left] of [
      ["OPTIONS", "2"],
      ["GET", "0"],
      ["OPTIONS", "0"],
      ["OPTIONS", "many"],
    ] as const) {
      const client = await connectRaw(own.port);
      client.send(requestText(method, "/", [`Max-Forwards: ${left}`]));
      statuses.push((await client.answer()).status);
      client.end();
    }
    await own.stop();
    assert.deepEqual(heard, ["OPTIONS 1", "GET 0", "OPTIONS many"]);
    assert.deepEqual(statuses, [200, 200, 204, 200]);
  });

  it("* is for OPTIONS, and arrives as it is", async () => {
    assert.equal(await ask("OPTIONS", "*"), "OPTIONS * api.example");
    assert.equal(await ask("GET", "*"), 400);
  });
});

test("the base path of OUTRIGGER_UPSTREAM and of a route stands in front of every path", async () => {
  const service = await startSidecar({
    policy: { plugins: [] },
    upstream: (request, response) => response.end(request.url),
  });
  const sidecar = await startSidecar({
    policy: {
      plugins: [],
      routes: [{ path: "/*" }, { path: "/api/*", stripPrefix: "/api", upstream: `${service.url}/v1/` }],
    },
    upstream: `${service.url}/base`,
  });
  const ask = async (path: string): Promise<string> => (await fetch(`${sidecar.url}${path}`)).text();
  assert.equal(await ask("/"), "/base/");
  assert.equal(await ask("/a/../b?c"), "/base/b?c");
  assert.equal(await ask("/api/x"), "/v1/x");
  assert.equal(await ask("/api"), "/v1/");
  await sidecar.stop();
  await service.stop();
});

describe("an odd head of a service", () => {
  let service: RawService;
  let sidecar: TestSidecar;
  before(async () => {
    service = await startRawService();
    sidecar = await startSidecar({ policy: { plugins: ["logging", "transform"] }, upstream: service.url });
  });
  after(async () => {
    service.close();
    await sidecar.stop();
  });
  const answered = async (bytes: string, request = requestText("GET", "/")) => {
    const client = await connectRaw(sidecar.port);
    client.send(request);
    const upstream = await service.next();
    await upstream.until((text) => text.includes("\r\n\r\n"));
    upstream.send(bytes);
    const answer = await client.answer();
    upstream.socket.destroy();
    return { client, answer };
  };

  it("an unknown status and a reason in Latin-1 pass", async () => {
    const { client, answer } = await answered("HTTP/1.1 999 Caf\xe9 \xa7\r\nContent-Length: 2\r\n\r\nok");
    assert.match(answer.head, /^HTTP\/1\.1 999 Caf\xe9 \xa7\r\n/);
    assert.equal(answer.body, "ok");
    client.end();
  });

  it("no reason at all passes", async () => {
    const { client, answer } = await answered("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok");
    assert.deepEqual([answer.status, answer.body], [200, "ok"]);
    client.end();
  });

  it("204 with a length: none goes on, and the connection serves the next", async () => {
    const { client, answer } = await answered("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    assert.deepEqual([answer.status, answer.field("content-length")], [204, undefined]);
    client.send(requestText("GET", "/next"));
    (await service.next()).send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    assert.equal((await client.answer()).body, "ok");
    client.end();
  });

  it("ten thousand fields: 502", async () => {
    const { client, answer } = await answered(`HTTP/1.1 200 OK\r\n${"a: 1\r\n".repeat(10_000)}\r\n`);
    assert.equal(answer.status, 502);
    client.end();
  });

  it("a field with obs-text passes as it is", async () => {
    const { client, answer } = await answered(
      "HTTP/1.1 200 OK\r\nX-A: \xff\xe9\r\nContent-Length: 0\r\n\r\n",
    );
    assert.equal(answer.field("x-a"), "\xff\xe9");
    client.end();
  });

  it("a kept connection that it closes right behind an answer costs the next request nothing", async () => {
    const client = await connectRaw(sidecar.port);
    for (let i = 0; i < 3; i += 1) {
      client.send(requestText("GET", `/${i}`));
      const upstream = await service.next();
      await upstream.until((text) => text.includes("\r\n\r\n"));
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      upstream.socket.end();
      assert.equal((await client.answer()).body, "ok");
    }
    client.end();
  });
});
