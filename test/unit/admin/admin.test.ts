// The admin listener over real sockets: what it shows, to whom, and what bad requests get.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, it, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { type AdminOptions, createAdmin } from "../../../src/admin/admin.ts";

const token = "correct-horse-battery-staple";
const jwks = { contentType: "application/jwk-set+json", body: '{"keys":[]}' };

interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** A listener with everything in order; each part can be replaced. Closed after the test. */
async function start(t: TestContext, overrides: Partial<AdminOptions> = {}) {
  const events: string[] = [];
  let level = "info";
  const log = (_fields: object, message: string) => void events.push(message);
  const admin = createAdmin({
    listen: { host: "127.0.0.1", port: 0 },
    token: () => undefined,
    logger: { debug: log, info: log, warn: log, error: log },
    checks: () => [{ name: "policy", ok: true, detail: "revision 7" }],
    metrics: { render: () => Promise.resolve("up 1\n") },
    policyStatus: () => ({ revision: 7, source: "file" }),
    plugins: () => Promise.resolve({ plugins: [] }),
    tap: {
      read: () => ({ forMs: 1_000 }),
      start: () => () => {},
      begun() {},
      slow: { inc: () => {} },
    },
    request: (id) => Promise.resolve(id === "a/b" ? { requestId: id } : undefined),
    logLevel: {
      get: () => level,
      set: (wanted) => {
        if (!["debug", "info"].includes(wanted)) return false;
        level = wanted;
        return true;
      },
    },
    drain: () => void events.push("drain"),
    quit: () => void events.push("quit"),
    extra: (path) => (path === "/jwks" ? jwks : undefined),
    ...overrides,
  });
  const bound = await admin.listen();
  t.after(() => admin.close());
  const port = typeof bound === "string" ? 0 : bound.port;
  const address = typeof bound === "string" ? `unix:${bound}` : `127.0.0.1:${port}`;
  return { admin, address, port, events, level: () => level, send: sender(address) };
}

function open(address: string): Socket {
  if (address.startsWith("unix:")) return connect(address.slice(5));
  const colon = address.lastIndexOf(":");
  return connect(Number(address.slice(colon + 1)), address.slice(0, colon));
}

/** Sends raw request lines over a connection of its own; the request asks for the end of the connection. */
function sender(address: string) {
  return async function send(line: string, fields: string[] = [], body?: string): Promise<Reply> {
    const socket = open(address);
    const named = fields.some((field) => /^host:/i.test(field)) ? fields : [`Host: ${address}`, ...fields];
    const framed = body === undefined ? named : [...named, `Content-Length: ${Buffer.byteLength(body)}`];
    socket.write(`${[`${line} HTTP/1.1`, ...framed, "Connection: close"].join("\r\n")}\r\n\r\n${body ?? ""}`);
    const all = await text(socket);
    const end = all.indexOf("\r\n\r\n");
    return { status: Number(all.slice(9, 12)), head: all.slice(0, end), body: all.slice(end + 4) };
  };
}

function assertProblem(reply: Reply, status: number): void {
  assert.equal(reply.status, status, reply.head);
  assert.match(reply.head, /content-type: application\/problem\+json/i);
  const document = JSON.parse(reply.body) as Record<string, unknown>;
  assert.equal(document["status"], status);
  for (const name of ["type", "title", "detail", "error", "code"])
    assert.equal(typeof document[name], "string");
}

describe("the admin listener", { timeout: 20_000 }, () => {
  it("lists its endpoints, and names its problems by code", async (t) => {
    const { send } = await start(t);
    const list = await send("GET /");
    assert.equal(list.status, 200);
    for (const line of ["GET /livez", "GET, PUT /loglevel  (from this machine", "POST /quit"])
      assert.ok(list.body.includes(`\n${line}`), list.body);
    const codes = [];
    for (const line of ["GET /nothing", "POST /livez"])
      codes.push((JSON.parse((await send(line)).body) as { code: string }).code);
    assert.deepEqual(codes, ["not_found", "method_not_allowed"]);
  });

  it("says that the process lives", async (t) => {
    const { send } = await start(t);
    const reply = await send("GET /livez");
    assert.deepEqual([reply.status, reply.body], [200, "ok\n"]);
    assert.match(reply.head, /cache-control: no-store/i);
  });

  it("is ready when every check is, and names those that are not", async (t) => {
    let loaded = false;
    const checks = () => [
      { name: "policy", ok: loaded, detail: loaded ? "revision 7" : "none yet" },
      { name: "listener", ok: true },
    ];
    const { send } = await start(t, { checks });
    const before = await send("GET /readyz");
    assert.deepEqual([before.status, before.body], [503, "not ready: policy\n"]);
    assert.equal(
      (await send("GET /readyz?verbose")).body,
      "[-] policy: none yet\n[+] listener\nnot ready: policy\n",
    );
    loaded = true;
    const after = await send("GET /readyz?verbose=1");
    assert.deepEqual([after.status, after.body], [200, "[+] policy: revision 7\n[+] listener\nready\n"]);
  });

  it("shows metrics, the policy, and further documents", async (t) => {
    const { send } = await start(t);
    const metrics = await send("GET /metrics");
    assert.equal(metrics.body, "up 1\n");
    assert.match(metrics.head, /content-type: text\/plain; version=0\.0\.4/i);
    assert.deepEqual(JSON.parse((await send("GET /policy")).body), { revision: 7, source: "file" });
    const document = await send("GET /jwks");
    assert.deepEqual([document.status, document.body], [200, '{"keys":[]}']);
    assert.match(document.head, /content-type: application\/jwk-set\+json/i);
  });

  it("answers HEAD like GET without the body", async (t) => {
    const { send } = await start(t);
    const reply = await send("HEAD /livez");
    assert.deepEqual([reply.status, reply.body], [200, ""]);
    assert.match(reply.head, /content-length: 3/i);
  });

  it("changes the log level by JSON or by plain text", async (t) => {
    const { send, level, events } = await start(t);
    const json = await send("PUT /loglevel", ["Content-Type: application/json"], '{"level":"debug"}');
    assert.deepEqual([json.status, JSON.parse(json.body)], [200, { level: "debug", previous: "info" }]);
    assert.equal(level(), "debug");
    assert.equal((await send("PUT /loglevel", [], "info\n")).status, 200);
    assert.equal(level(), "info");
    assert.deepEqual(events, ["log level changed", "log level changed"]);
    assert.deepEqual(JSON.parse((await send("GET /loglevel")).body), { level: "info" });
  });

  it("refuses levels that are none, and bodies that are not what they should be", async (t) => {
    const { send, level } = await start(t);
    for (const body of ["", "loud", "{", '{"level":7}', '{"level":"debug","x":1}', "{}", "[]", "__proto__"]) {
      assertProblem(await send("PUT /loglevel", [], body), 400);
    }
    assertProblem(await send("PUT /loglevel", [], `{"level":"${"x".repeat(2000)}"}`), 413);
    assert.equal(level(), "info");
  });

  it("starts the drain and answers at once", async (t) => {
    const { send, events } = await start(t);
    const reply = await send("POST /drain");
    assert.deepEqual([reply.status, JSON.parse(reply.body)], [202, { draining: true }]);
    assert.deepEqual(events, ["POST /drain: not ready from now on", "drain"]);
  });

  it("answers 404 and 405 with problems", async (t) => {
    const { send, events } = await start(t);
    for (const path of ["/nothing", "/livez/", "//livez", "/LIVEZ", "/__proto__"]) {
      assertProblem(await send(`GET ${path}`), 404);
    }
    const reply = await send("GET /drain");
    assertProblem(reply, 405);
    assert.match(reply.head, /allow: POST\r?$/im);
    assert.match((await send("DELETE /livez")).head, /allow: GET, HEAD\r?$/im);
    assertProblem(await send("POST /jwks"), 405);
    assert.deepEqual(events, []);
  });

  it("answers 500 when a part of it fails, and logs why", async (t) => {
    const { send, events } = await start(t, {
      metrics: { render: () => Promise.reject(new Error("hunter2")) },
    });
    const reply = await send("GET /metrics");
    assertProblem(reply, 500);
    assert.doesNotMatch(reply.body, /hunter2/);
    assert.deepEqual(events, ["admin request failed"]);
    assert.equal((await send("GET /livez")).status, 200);
  });

  it("keeps a connection for the next request", async (t) => {
    const { address } = await start(t);
    const socket = open(address);
    t.after(() => socket.destroy());
    for (let i = 0; i < 3; i++) {
      socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const [chunk] = (await once(socket, "data")) as [Buffer];
      assert.match(chunk.toString(), /^HTTP\/1\.1 200/);
      assert.doesNotMatch(chunk.toString(), /connection: close/i);
    }
  });

  it("reads no more of an unwanted body and closes", async (t) => {
    const { address } = await start(t);
    const socket = open(address);
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nabc");
    assert.match(await text(socket), /^HTTP\/1\.1 200 OK[^]*connection: close/i);
  });

  it("answers before the end of a body that is too long", async (t) => {
    const { address } = await start(t);
    const socket = open(address);
    socket.write(
      `PUT /loglevel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(2000)}`,
    );
    assert.match(await text(socket), /^HTTP\/1\.1 413 /);
  });

  it("closes connections that are waiting for an answer, a moment after it is closed", async (t) => {
    const asked = Promise.withResolvers<void>();
    const render = () => {
      asked.resolve();
      return new Promise<string>(() => undefined);
    };
    const { admin, address } = await start(t, { metrics: { render } });
    const socket = open(address);
    const closed = Promise.withResolvers<void>();
    socket.on("error", () => undefined).once("close", () => closed.resolve());
    socket.write("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await asked.promise;
    await admin.close();
    await closed.promise;
  });

  it("listens on a unix socket, whose file says who may come", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "outrigger-admin-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const { address, send } = await start(t, { listen: { path: join(directory, "admin.sock") } });
    assert.equal(address, `unix:${join(directory, "admin.sock")}`);
    assert.equal((await send("GET /policy", ["Host: localhost"])).status, 200);
  });

  it("says when its address is taken", async (t) => {
    const { port } = await start(t);
    await assert.rejects(start(t, { listen: { host: "127.0.0.1", port } }), { code: "EADDRINUSE" });
  });
});

describe("the sensitive endpoints", () => {
  const requests = ["GET /policy", "GET /loglevel", "PUT /loglevel", "POST /drain"];
  /** An address of this machine that is not loopback, as a peer from elsewhere would show. */
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

  async function startOutside(t: TestContext, overrides: Partial<AdminOptions> = {}) {
    const started = await start(t, { listen: { host: "0.0.0.0", port: 0 }, ...overrides });
    assert.ok(outside, "this machine has no address besides loopback to test from");
    return { ...started, send: sender(`${outside}:${started.port}`) };
  }

  it("are closed to other machines while no token is set", async (t) => {
    const { send, events } = await startOutside(t);
    for (const request of requests) {
      assertProblem(await send(request, [`Authorization: Bearer ${token}`]), 403);
      assertProblem(await send(request, ["Host: localhost", "X-Forwarded-For: 127.0.0.1"]), 403);
    }
    assert.equal((await send("GET /livez")).status, 200);
    assert.equal((await send("GET /metrics")).status, 200);
    assert.deepEqual(events, []);
  });

  it("are closed to who has reset the connection before it is looked at, and is nobody's address then", async (t) => {
    const { port, events } = await startOutside(t);
    // A worker: this process is to look at the connection only once it is reset.
    const program = `
      const { connect } = require("node:net");
      const { workerData: { host, port, done } } = require("node:worker_threads");
      const socket = connect(port, host, () =>
        socket.write("POST /quit HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n", () => socket.resetAndDestroy()));
      socket.on("close", () => Atomics.notify(done, Atomics.store(done, 0, 1) - 1));`;
    const done = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(program, { eval: true, workerData: { host: outside, port, done } });
    assert.equal(Atomics.wait(done, 0, 0, 5_000), "ok");
    await once(worker, "exit");
    // Answered behind it.
    assert.equal((await sender(`127.0.0.1:${port}`)("GET /livez")).status, 200);
    assert.deepEqual(events, []);
  });

  it("open to other machines with the token, and only with it", async (t) => {
    const { send } = await startOutside(t, { token: () => token });
    assert.equal((await send("GET /policy", [`Authorization: Bearer ${token}`])).status, 200);
    assert.equal((await send("GET /policy", [`authorization: bearer  ${token}`])).status, 200);
    const wrong = [
      [],
      [`Authorization: Bearer ${token}x`],
      ["Authorization: Bearer "],
      [`Authorization: Basic ${token}`],
      [`Authorization: Bearer ${token}`, "Authorization: Bearer x"],
      [`Authorization: Bearer x ${token}`],
    ];
    for (const fields of wrong) {
      const reply = await send("GET /policy", fields);
      assertProblem(reply, 401);
      assert.match(reply.head, /www-authenticate: Bearer/i);
    }
  });

  it("are open to this machine, also over IPv4-mapped addresses and with a token set", async (t) => {
    const { port, send } = await start(t, { listen: { host: "::", port: 0 }, token: () => token });
    assert.equal((await send("GET /policy")).status, 200);
    for (const host of [`localhost:${port}`, "localhost", "app.localhost", "127.0.0.2", `[::1]:${port}`]) {
      assert.equal((await send("GET /policy", [`Host: ${host}`])).status, 200, host);
    }
    assertProblem(await send("GET /policy", ["Authorization: Bearer wrong"]), 401);
  });

  it("refuse a web page and a proxy that act from this machine", async (t) => {
    const { send, events, address } = await start(t, { token: () => token });
    const foreign = [
      ["Host: evil.example"],
      ["Host: evil.example:9901"],
      ["Host: localhost.evil.example"],
      ["Host: 10.0.0.1"],
      [`Host: ${address}`, "Origin: https://evil.example"],
      [`Host: ${address}`, "Origin: null"],
      [`Host: ${address}`, "X-Forwarded-For: 10.0.0.1"],
      [`Host: ${address}`, "Forwarded: for=10.0.0.1"],
      [`Host: ${address}`, "Via: 1.1 proxy"],
    ];
    for (const fields of foreign) {
      for (const request of requests) assertProblem(await send(request, fields), 403);
      const shown = await send("GET /policy", [...fields, `Authorization: Bearer ${token}`]);
      assert.equal(shown.status, 200, "the token speaks for itself");
    }
    assert.deepEqual(events, []);
    assert.equal((await send("GET /policy", [`Host: ${address}`, `Origin: http://${address}`])).status, 200);
  });
});

describe("forms of requests", () => {
  it("quit is for this machine and for no page", async (t) => {
    const { send, events, address } = await start(t);
    for (const fields of [
      [`Host: ${address}`, `Origin: http://${address}`],
      ["Host: evil.example"],
      [`Host: ${address}`, "Via: 1.1 proxy"],
    ])
      assert.equal((await send("POST /quit", fields, "")).status, 403);
    assert.equal((await send("GET /quit")).status, 405);
    assert.deepEqual(events, []);
    assert.equal((await send("POST /quit", [], "")).status, 202);
    assert.deepEqual(events, ["POST /quit: the sidecar ends", "quit"]);
  });

  it("the absolute form is answered like the path", async (t) => {
    const { send, address } = await start(t);
    assert.equal((await send(`GET http://${address}/readyz?verbose`)).status, 200);
    assert.equal((await send(`GET http://${address}/nothing`)).status, 404);
    assert.equal((await send("POST http://other.example/drain")).status, 400);
  });

  it("metrics come in OpenMetrics where the client takes that as gladly as text", async (t) => {
    const metrics = { render: (open: boolean) => Promise.resolve(open ? "# EOF\n" : "up 1\n") };
    const { send } = await start(t, { metrics });
    const prometheus =
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (const [accepted, isOpen] of [
      [prometheus, true],
      ["Application/OpenMetrics-Text", true],
      ["text/plain;q=0.9, application/openmetrics-text;q=0.5", false],
      ["application/openmetrics-text;q=0", false],
      ["application/openmetrics-text;q=x", false],
      ["application/openmetrics-textual", false],
      ["*/*", false],
    ] as const) {
      const reply = await send("GET /metrics", [`Accept: ${accepted}`]);
      assert.equal(reply.body, isOpen ? "# EOF\n" : "up 1\n", accepted);
      const type = isOpen ? "application/openmetrics-text; version=1.0.0" : "text/plain; version=0.0.4";
      assert.ok(reply.head.includes(`Content-Type: ${type}; charset=utf-8`), accepted);
    }
  });

  it("metrics come in gzip where the client takes it", async (t) => {
    const body = "up 1\n".repeat(1000);
    const metrics = { render: () => Promise.resolve(body) };
    const { send } = await start(t, { metrics });
    for (const [accepted, coded] of [
      ["gzip, deflate", true],
      ["GZIP;q=0.5", true],
      ["*", true],
      ["gzip;q=0, *", false],
      ["identity", false],
      ["br", false],
    ] as const) {
      const reply = await send("GET /metrics", [`Accept-Encoding: ${accepted}`]);
      assert.equal(/content-encoding: gzip/i.test(reply.head), coded, accepted);
      assert.match(reply.head, /vary: accept, accept-encoding/i);
      if (coded) assert.ok(Number(/content-length: (\d+)/i.exec(reply.head)?.[1]) < body.length / 10);
      else assert.equal(reply.body, body);
    }
  });
});
