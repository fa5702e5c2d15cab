// The life of the process from signal to exit, the life of snapshots from swap to close, and what a client may not
// claim about itself.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { pluginWith } from "../support/plugins.ts";
import { mainFile, startNode, type Started } from "../support/process.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";
import { startSidecar } from "../support/sidecar.ts";

/** Ends with the test's own time limit. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await delay(2);
};

interface Running extends Started {
  readonly port: number;
  readonly url: string;
  readonly adminUrl: string;
}

describe("the process", () => {
  const released: http.ServerResponse[] = [];
  /** With which the service's WebSockets were closed. */
  const closeCodes: number[] = [];
  let service: http.Server;
  let folder: string;
  before(async () => {
    service = http.createServer((request, response) => {
      if (request.url === "/slow") released.push(response);
      else response.end("ok");
    });
    const sockets = new WebSocketServer({ server: service });
    sockets.on("connection", (socket) =>
      socket.on("message", (data) => socket.send(data)).on("close", (code) => closeCodes.push(code)),
    );
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    folder = mkdtempSync(join(tmpdir(), "outrigger-life-"));
    writeFileSync(join(folder, "policy.yaml"), "apiVersion: outrigger/v1\nplugins: [logging]\n");
  });
  after(() => {
    service.closeAllConnections();
    service.close();
    rmSync(folder, { recursive: true });
  });

  const start = async (drainMs: number, env: Record<string, string> = {}): Promise<Running> => {
    const started = startNode([mainFile, "run"], {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      OUTRIGGER_POLICY_FILE: join(folder, "policy.yaml"),
      OUTRIGGER_DRAIN_MS: String(drainMs),
      ...env,
    });
    const text = await started.said('"msg":"listening"');
    const line = text.split("\n").find((each) => each.includes('"msg":"listening"')) as string;
    const { address, admin } = JSON.parse(line) as { address: string; admin: string };
    return {
      ...started,
      port: Number(address.split(":")[1]),
      url: `http://${address}`,
      adminUrl: `http://${admin}`,
    };
  };
  /** A request that the service holds until the test ends it; in a box, or it would be awaited here. */
  const slowRequest = async (url: string): Promise<{ answer: Promise<Response> }> => {
    const answer = fetch(`${url}/slow`);
    await until(() => released.length > 0);
    return { answer };
  };

  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    it(`${signal}: unready, the request in flight is served, then exit 0 with its line flushed`, async () => {
      const sidecar = await start(10_000);
      const { answer } = await slowRequest(sidecar.url);
      sidecar.child.kill(signal);
      await sidecar.said('"msg":"draining"');
      assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 503);
      assert.equal((await fetch(`${sidecar.adminUrl}/livez`)).status, 200);
      const meanwhile = await fetch(`${sidecar.url}/meanwhile`);
      assert.equal(meanwhile.status, 200);
      assert.equal(meanwhile.headers.get("connection"), "close");
      released.pop()?.end("served");
      assert.equal(await (await answer).text(), "served");
      const { code, stdout } = await sidecar.end;
      assert.equal(code, 0);
      const line = stdout.split("\n").find((each) => each.includes('"path":"/slow"'));
      assert.equal(JSON.parse(line ?? "{}").status, 200);
    });
  }

  it("what is still in flight at the drain's limit is cut off, exit 0 all the same", async () => {
    const sidecar = await start(300);
    const { answer } = await slowRequest(sidecar.url);
    const failed = assert.rejects(answer);
    sidecar.child.kill("SIGTERM");
    await failed;
    released.pop();
    assert.equal((await sidecar.end).code, 0);
  });

  it("a body that ends with its connection is reset at that limit, and its line says by whom", async () => {
    const sidecar = await start(300);
    const client = await connectRaw(sidecar.port);
    client.send("GET /slow HTTP/1.0\r\nHost: a\r\n\r\n");
    await until(() => released.length > 0);
    released.pop()?.write("a part");
    await client.until((received) => received.endsWith("a part"));
    sidecar.child.kill("SIGTERM");
    assert.equal((await client.closed).reset, true);
    const { code, stdout } = await sidecar.end;
    assert.equal(code, 0);
    const line = stdout.split("\n").find((each) => each.includes('"path":"/slow"'));
    assert.equal(JSON.parse(line ?? "{}").end, "shutdown");
  });

  it("a second signal ends at once", async () => {
    const sidecar = await start(60_000);
    const { answer } = await slowRequest(sidecar.url);
    const failed = assert.rejects(answer);
    sidecar.child.kill("SIGTERM");
    await sidecar.said('"msg":"draining"');
    sidecar.child.kill("SIGTERM");
    assert.equal((await sidecar.end).code, 143);
    await failed;
    released.pop();
  });

  it("upgrades are closed last, and no new one is begun", async () => {
    const sidecar = await start(10_000);
    const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}/`);
    await once(socket, "open");
    const { answer } = await slowRequest(sidecar.url);
    sidecar.child.kill("SIGTERM");
    await sidecar.said('"msg":"draining"');
    socket.send("still there?");
    assert.equal(String((await once(socket, "message"))[0]), "still there?");
    const late = new WebSocket(`ws://127.0.0.1:${sidecar.port}/late`);
    late.on("error", () => {});
    const [, refused] = (await once(late, "unexpected-response")) as [unknown, http.IncomingMessage];
    assert.equal(refused.statusCode, 503);
    refused.destroy();
    released.pop()?.end("served");
    await (await answer).text();
    await once(socket, "close");
    assert.equal((await sidecar.end).code, 0);
  });

  it("every connection is answered once more and told to close: idle, silent so far, and new", async () => {
    const sidecar = await start(10_000);
    const ask = requestText("GET", "/");
    const idle = await connectRaw(sidecar.port);
    idle.send(ask);
    assert.equal((await idle.answer()).field("connection"), "keep-alive");
    const silent = await connectRaw(sidecar.port);
    sidecar.child.kill("SIGTERM");
    await sidecar.said('"msg":"draining"');
    const late = await connectRaw(sidecar.port);
    for (const client of [idle, silent, late]) {
      client.send(ask);
      const answer = await client.answer();
      assert.deepEqual([answer.status, answer.field("connection")], [200, "close"]);
      assert.equal((await client.closed).reset, false);
    }
    assert.equal((await sidecar.end).code, 0);
  });

  it("OUTRIGGER_DRAIN_MIN_MS: serves that long, though nobody is there", async () => {
    const sidecar = await start(10_000, { OUTRIGGER_DRAIN_MIN_MS: "700" });
    const beganMono = performance.now();
    sidecar.child.kill("SIGTERM");
    await sidecar.said('"msg":"draining"');
    assert.equal((await fetch(sidecar.url)).status, 200);
    assert.equal((await sidecar.end).code, 0);
    assert.ok(performance.now() - beganMono >= 700);
  });

  it("a WebSocket alone gets 1001, and so does the service; then its own time to end", async () => {
    const sidecar = await start(10_000);
    const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}/`);
    await once(socket, "open");
    sidecar.child.kill("SIGTERM");
    assert.equal((await once(socket, "close"))[0], 1001);
    assert.equal((await sidecar.end).code, 0);
    await until(() => closeCodes.includes(1001));
  });

  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
    it(`${signal} does no harm`, async () => {
      const sidecar = await start(1_000);
      sidecar.child.kill(signal);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal((await fetch(sidecar.url)).status, 200);
      sidecar.child.kill("SIGTERM");
      assert.equal((await sidecar.end).code, 0);
    });
  }

  it("POST /drain: unready and closing, but serving until it is told to end", async () => {
    const sidecar = await start(1_000);
    assert.equal((await fetch(`${sidecar.adminUrl}/drain`, { method: "POST" })).status, 202);
    assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 503);
    const answer = await fetch(sidecar.url);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("connection"), "close");
    sidecar.child.kill("SIGTERM");
    assert.equal((await sidecar.end).code, 0);
  });
});

describe("a snapshot", () => {
  it("that was replaced is closed after its last exchange, not before", async () => {
    let closes = 0;
    let setups = 0;
    const plugin = {
      ...pluginWith("counted", {}),
      setup: () => {
        setups += 1;
        return { onRequest: () => undefined, close: () => void (closes += 1) };
      },
    };
    const held: http.ServerResponse[] = [];
    const sidecar = await startSidecar({
      policy: { plugins: ["counted"], routes: [{ path: "/*" }] },
      registry: [plugin],
      upstream: (_request, response) => void held.push(response),
    });
    const answer = fetch(sidecar.url);
    await until(() => held.length > 0);
    const setupsBefore = setups;
    sidecar.setPolicy({ plugins: ["counted"], routes: [{ path: "/*" }, { path: "/new" }] });
    await sidecar.line((line) => line["revision"] === 2);
    assert.ok(setups > setupsBefore);
    assert.equal(closes, 0);
    held[0]?.end();
    await (await answer).text();
    await until(() => closes === setupsBefore);
    await sidecar.stop();
    assert.equal(closes, setups);
  });

  it("is closed before the store: plugins can give back at the end what they hold", async () => {
    const order: string[] = [];
    const plugin = pluginWith("lender", {
      close: async () => {
        await delay(20);
        order.push("given back");
      },
    });
    const sidecar = await startSidecar({
      policy: { plugins: ["lender"] },
      registry: [plugin],
      upstream: (_request, response) => response.end(),
    });
    await sidecar.stop();
    order.push("stopped");
    assert.deepEqual(order.slice(-2), ["given back", "stopped"]);
  });

  it("whose set-up fails is refused, with the plugin's name; what was set up of it is closed", async () => {
    let closed = 0;
    const good = pluginWith("good", { close: () => void (closed += 1) }, { priority: 1 });
    const bad = {
      ...pluginWith("bad", {}, { priority: 2 }),
      setup: (): never => {
        throw new Error("cannot reach its licence server");
      },
    };
    const sidecar = await startSidecar({
      policy: { plugins: ["good"] },
      registry: [good, bad],
      upstream: (_request, response) => response.end("ok"),
    });
    sidecar.setPolicy({ plugins: ["good", "bad"] });
    const refused = await sidecar.line((line) => String(line["msg"]).startsWith("policy refused"));
    assert.match(String(refused["problems"]), /plugin "bad".*cannot reach its licence server/);
    assert.equal(closed, 1);
    assert.equal((await fetch(sidecar.url)).status, 200);
    await sidecar.stop();
  });
});

describe("what a client says about itself", () => {
  const service = (request: http.IncomingMessage, response: http.ServerResponse): void =>
    void response.end(JSON.stringify(request.rawHeaders));
  const policy = {
    plugins: ["logging"],
    routes: [
      { path: "/plain/*", plugins: [] },
      {
        path: "/set/*",
        plugins: ["transform"],
        pluginConfig: { transform: { addHeaders: { "X-Tenant": "$userId" } } },
      },
    ],
  };
  const sent = [
    "X-User-Id: 1",
    "x-user-plan: pro",
    "X_User_Scopes: all",
    "X-USER-ID: 2",
    "X-Tenant: 3",
    "x_tenant: 4",
  ];
  const asked = async (port: number, path: string, fields: readonly string[]): Promise<string> => {
    const client = await connectRaw(port);
    client.send(requestText("GET", path, fields));
    const { body } = await client.answer();
    client.end();
    return body;
  };

  it("identity fields never reach the service, on any route, in any spelling", async () => {
    const sidecar = await startSidecar({ policy, upstream: service });
    for (const path of ["/plain/a", "/set/a"]) {
      const heard = await asked(sidecar.port, path, sent);
      assert.doesNotMatch(heard, /user|tenant/i);
    }
    await sidecar.stop();
  });

  it("X-Forwarded-For is believed from trusted proxies only", async () => {
    const fields = [
      "X-Forwarded-For: 6.6.6.6, 1.2.3.4",
      "X-Forwarded-Proto: https",
      "X-Real-IP: 6.6.6.6",
      "Forwarded: for=6.6.6.6",
    ];
    const distrusting = await startSidecar({ policy, upstream: service });
    const heard = await asked(distrusting.port, "/plain/a", fields);
    assert.doesNotMatch(heard, /6\.6\.6\.6|1\.2\.3\.4|https/);
    assert.match(heard, /"X-Forwarded-For","127\.0\.0\.1"/);
    const line = await distrusting.line((entry) => entry["msg"] === "listening");
    assert.ok(line);
    await distrusting.stop();
    const trusting = await startSidecar({
      policy: { plugins: ["logging"] },
      upstream: service,
      env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8" },
    });
    assert.match(
      await asked(trusting.port, "/", fields),
      /"X-Forwarded-For","6\.6\.6\.6, 1\.2\.3\.4, 127\.0\.0\.1"/,
    );
    const access = await trusting.line((entry) => entry["msg"] === "request");
    assert.equal(access["clientIp"], "1.2.3.4");
    await trusting.stop();
  });

  it("a valid X-Request-Id is kept everywhere, an invalid one is replaced", async () => {
    const sidecar = await startSidecar({ policy: { plugins: ["logging"] }, upstream: service });
    const kept = await fetch(sidecar.url, { headers: { "x-request-id": "abc-123" } });
    assert.equal(kept.headers.get("x-request-id"), "abc-123");
    assert.match(await kept.text(), /"X-Request-Id","abc-123"/i);
    const replaced = await fetch(sidecar.url, { headers: { "x-request-id": 'a"}b' } });
    assert.match(replaced.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    await sidecar.stop();
  });
});
