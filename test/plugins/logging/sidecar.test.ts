// The access log of a running sidecar: a line for every request, however it ended.
import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type RequestListener } from "node:http";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { z } from "zod";
import { registry } from "../../../plugins/index.ts";
import { definePlugin, GatewayError } from "../../../src/plugin-api/contract.ts";
import { eventually, startRedis } from "../../support/redis.ts";
import { startSidecar, type TestSidecar, type TestSidecarOptions } from "../../support/sidecar.ts";

type Line = Record<string, unknown>;

async function sidecarOf(
  t: TestContext,
  policy: Record<string, unknown>,
  upstream: RequestListener | string,
  more: Partial<TestSidecarOptions> = {},
): Promise<TestSidecar> {
  const sidecar = await startSidecar({ policy, upstream, ...more });
  t.after(() => sidecar.stop());
  return sidecar;
}

const hello: RequestListener = (_request, response) => response.end("hello");

/** The access line of the one request to that path. */
const lineFor = (sidecar: TestSidecar, path: string): Promise<Line> =>
  sidecar.line((line) => line["msg"] === "request" && line["path"] === path);

const accessPaths = (sidecar: TestSidecar): unknown[] =>
  sidecar.lines.filter((line) => line["msg"] === "request").map((line) => line["path"]);

test("an answered request has its line, with upstream, sizes and times", async (t) => {
  const sidecar = await sidecarOf(t, { plugins: ["logging"], routes: [{ path: "/api/*" }] }, hello);
  const answer = await fetch(`${sidecar.url}/api/x?token=s3cret`, { method: "POST", body: "12345" });
  assert.equal(await answer.text(), "hello");
  const line = await lineFor(sidecar, "/api/x");
  const { port } = (sidecar.service as http.Server).address() as net.AddressInfo;
  const told = [line["level"], line["method"], line["status"], line["route"], line["upstream"], line["end"]];
  assert.deepEqual(told, [30, "POST", 200, "/api/*", `127.0.0.1:${port}`, "complete"]);
  assert.deepEqual([line["requestBytes"], line["responseBytes"], line["clientIp"]], [5, 5, "127.0.0.1"]);
  assert.equal(line["requestId"], answer.headers.get("x-request-id"));
  assert.ok((line["durationMs"] as number) >= (line["upstreamMs"] as number));
  assert.equal(line["timestamp"], new Date(line["time"] as number).toISOString());
  assert.doesNotMatch(JSON.stringify(sidecar.lines), /s3cret/);
});

test("X-Request-Id is kept when valid, else made; the service's own is replaced; X-Response-Time is in ms", async (t) => {
  const sidecar = await sidecarOf(t, { plugins: ["logging"] }, (request, response) => {
    response.setHeader("X-Request-Id", "of-the-service");
    response.setHeader("X-Seen", String(request.headers["x-request-id"]));
    response.end();
  });
  const kept = await fetch(sidecar.url, { headers: { "X-Request-Id": "abc-123" } });
  assert.deepEqual([kept.headers.get("x-request-id"), kept.headers.get("x-seen")], ["abc-123", "abc-123"]);
  assert.match(kept.headers.get("x-response-time") ?? "", /^\d+ms$/);
  const made = await fetch(sidecar.url, { headers: { "X-Request-Id": 'a b"c' } });
  assert.match(made.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
});

test("refused requests are logged and carry the request id: no route, wrong method, a plugin's refusal", async (t) => {
  const doorkeeper = definePlugin({
    name: "doorkeeper",
    version: "1.0.0",
    apiVersion: 1,
    priority: 10,
    security: true,
    failMode: "closed",
    options: z.strictObject({}),
    setup: () => ({
      onRequest(exchange) {
        exchange.refusedBecause = "no key shown";
        return { action: "reject", error: new GatewayError("authentication_required", "Show a key.") };
      },
    }),
  });
  const sidecar = await sidecarOf(
    t,
    {
      plugins: ["logging", "doorkeeper"],
      routes: [
        { path: "/a", methods: ["GET"] },
        { path: "/open", plugins: ["logging"] },
      ],
    },
    hello,
    { registry: [...registry, doorkeeper] },
  );
  for (const [method, path, status, error] of [
    ["GET", "/nowhere", 404, "route_not_found"],
    ["PUT", "/a", 405, "method_not_allowed"],
    ["GET", "/a", 401, "authentication_required"],
  ] as const) {
    const answer = await fetch(sidecar.url + path, { method });
    assert.equal(answer.status, status);
    const line = await sidecar.line((one) => one["status"] === status);
    assert.deepEqual([line["path"], line["error"], line["level"]], [path, error, 40]);
    assert.equal(line["requestId"], answer.headers.get("x-request-id"));
    assert.match(answer.headers.get("x-response-time") ?? "", /^\d+ms$/);
  }
  const refused = await sidecar.line((line) => line["status"] === 401);
  assert.deepEqual([refused["answeredBy"], refused["refusedBecause"]], ["doorkeeper", "no key shown"]);
});

test("a service that is down is logged as an error with the system's code", async (t) => {
  const gone = net.createServer().listen(0, "127.0.0.1");
  await once(gone, "listening");
  const { port } = gone.address() as net.AddressInfo;
  gone.close();
  await once(gone, "close");
  const sidecar = await sidecarOf(t, { plugins: ["logging"] }, `http://127.0.0.1:${port}`);
  assert.equal((await fetch(`${sidecar.url}/down`)).status, 502);
  const line = await lineFor(sidecar, "/down");
  assert.deepEqual([line["level"], line["status"], line["errorCause"]], [50, 502, "ECONNREFUSED"]);
});

test("a client that leaves half-way is logged as such", async (t) => {
  const sidecar = await sidecarOf(t, { plugins: ["logging"] }, (_request, response) => {
    response.write("first");
  });
  const request = http.get(`${sidecar.url}/left`);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  await once(response, "data");
  request.destroy();
  const line = await lineFor(sidecar, "/left");
  assert.deepEqual([line["level"], line["end"], line["status"]], [40, "client-aborted", 200]);
});

test("a service that breaks off half-way is logged as an error", async (t) => {
  const sidecar = await sidecarOf(t, { plugins: ["logging"] }, (_request, response) => {
    response.write("first", () => response.destroy());
  });
  const answer = await fetch(`${sidecar.url}/broken`);
  await assert.rejects(answer.text());
  const line = await lineFor(sidecar, "/broken");
  assert.deepEqual([line["level"], line["end"]], [50, "upstream-aborted"]);
});

test("level leaves the lesser lines out, on the route that sets it", async (t) => {
  const routes = [
    { path: "/quiet/*", pluginConfig: { logging: { level: "warn" } } },
    { path: "/silent/*", pluginConfig: { logging: { level: "silent" } } },
    { path: "/*" },
  ];
  const sidecar = await sidecarOf(t, { plugins: ["logging"], routes }, (request, response) => {
    response.statusCode = request.url?.endsWith("/418") === true ? 418 : 200;
    response.end();
  });
  for (const path of ["/quiet/200", "/quiet/418", "/silent/418", "/last"]) await fetch(sidecar.url + path);
  await lineFor(sidecar, "/last");
  assert.deepEqual(accessPaths(sidecar), ["/quiet/418", "/last"]);
});

test("a sample keeps failures, and of the rest the share it says", async (t) => {
  const routes = [{ path: "/*", pluginConfig: { logging: { sample: 0 } } }];
  const sidecar = await sidecarOf(t, { plugins: ["logging"], routes }, (request, response) => {
    response.statusCode = request.url === "/500" ? 500 : request.url === "/304" ? 304 : 200;
    response.end();
  });
  for (const path of ["/200", "/304", "/500"]) await fetch(sidecar.url + path);
  assert.equal((await lineFor(sidecar, "/500"))["sample"], 0);
  assert.deepEqual(accessPaths(sidecar), ["/500"]);
});

test("slow requests are warned of with the time of each plugin, whatever the sample; tunnels are not slow", async (t) => {
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const waiter = definePlugin({
    name: "waiter",
    version: "1.0.0",
    apiVersion: 1,
    priority: 10,
    security: false,
    failMode: "open",
    options: z.strictObject({}),
    setup: () => ({
      onRequest: (exchange) => (exchange.request.path === "/slow" ? pause(320) : undefined),
      onResponse: () => {},
    }),
  });
  const sidecar = await sidecarOf(
    t,
    {
      plugins: ["logging", "waiter"],
      pluginConfig: { logging: { sample: 0, slowMs: 300, headers: ["accept"] } },
    },
    hello,
    { registry: [...registry, waiter] },
  );
  sidecar.service?.on("upgrade", (_request, socket: net.Socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    setTimeout(() => socket.end(), 320);
  });
  const upgraded = http.get(`${sidecar.url}/tunnel`, { headers: { Connection: "Upgrade", Upgrade: "chat" } });
  const [, tunnel] = (await once(upgraded, "upgrade")) as [unknown, net.Socket];
  await once(
    tunnel.resume().on("end", () => tunnel.end()),
    "close",
  );
  await fetch(`${sidecar.url}/quick`);
  await fetch(`${sidecar.url}/slow`, { headers: { Accept: "text/plain" } });
  const line = await lineFor(sidecar, "/slow");
  const { waiter: waited, ...others } = line["pluginMs"] as Record<string, number>;
  assert.ok(
    waited !== undefined && waited >= 318 && waited <= (line["durationMs"] as number),
    String(waited),
  );
  assert.deepEqual(Object.keys(others), ["logging"]);
  assert.deepEqual([line["level"], line["requestHeaders"]], [40, { accept: "text/plain" }]);
  assert.deepEqual(accessPaths(sidecar), ["/slow"]);
});

test("chosen fields are those the client sent and got, and credentials never show", async (t) => {
  const logging = {
    headers: ["accept", "authorization", "X-Api-Key", "cookie", "set-cookie", "server", "x-internal"],
    redact: ["x-internal"],
    query: true,
  };
  const pluginConfig = { logging, transform: { removeHeaders: ["accept"] } };
  const sidecar = await sidecarOf(
    t,
    { plugins: ["logging", "transform"], pluginConfig },
    (_request, response) => {
      response.setHeader("Set-Cookie", "sid=s3cret");
      response.setHeader("Server", "internal/1");
      response.end();
    },
  );
  const headers = {
    Accept: "text/plain",
    Authorization: "Bearer s3cret",
    "X-Api-Key": "s3cret",
    Cookie: "sid=s3cret",
    "X-Internal": "s3cret",
  };
  await fetch(`${sidecar.url}/fields?page=1&api_key=s3cret`, { headers });
  const line = await lineFor(sidecar, "/fields");
  assert.deepEqual(line["requestHeaders"], {
    accept: "text/plain",
    authorization: "[redacted]",
    "x-api-key": "[redacted]",
    cookie: "[redacted]",
    "x-internal": "[redacted]",
  });
  assert.deepEqual(line["responseHeaders"], { "set-cookie": "[redacted]" });
  assert.equal(line["query"], "?page=1&api_key=[redacted]");
  assert.doesNotMatch(JSON.stringify(sidecar.lines), /s3cret/);
});

test("a client cannot write lines of its own", async (t) => {
  const sidecar = await sidecarOf(t, { plugins: ["logging"] }, hello);
  const socket = net.connect(sidecar.port, "127.0.0.1");
  const agent = `x","level":60,"msg":"forged"}\u0085{"a":"\t\\`;
  socket.write(
    Buffer.from(
      `GET /forge HTTP/1.1\r\nHost: a\r\nUser-Agent: ${agent}\r\nConnection: close\r\n\r\n`,
      "latin1",
    ),
  );
  socket.resume();
  await once(socket, "close");
  const line = await lineFor(sidecar, "/forge");
  assert.deepEqual([line["userAgent"], line["level"]], [agent, 30]);
  assert.ok(!sidecar.lines.some((one) => one["msg"] === "forged"));
});

test("a stream without Redis is said once, and the lines go on", async (t) => {
  const routes = [{ path: "/a" }, { path: "/b" }];
  const sidecar = await sidecarOf(
    t,
    { plugins: ["logging"], pluginConfig: { logging: { stream: true } }, routes },
    hello,
  );
  await fetch(`${sidecar.url}/a`);
  await lineFor(sidecar, "/a");
  assert.equal(
    sidecar.lines.filter((line) => String(line["msg"]).includes("REDIS_URL is not set")).length,
    1,
  );
});

test("with stream the same line is in Redis, up to the last one before the end", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  const sidecar = await startSidecar({
    policy: { plugins: ["logging"], pluginConfig: { logging: { stream: true } } },
    upstream: hello,
    redisUrl: redis.url,
    env: { OUTRIGGER_SERVICE: "users" },
  });
  try {
    await eventually("the policy is in force", async () => (await fetch(`${sidecar.adminUrl}/readyz`)).ok);
    for (let i = 0; i < 20; i += 1) await fetch(`${sidecar.url}/streamed`);
  } finally {
    await sidecar.stop();
  }
  const entries = await redis.cli.xrange("outrigger:logs:users", "-", "+");
  const streamed = entries.map(([, fields]) => JSON.parse(fields[1] ?? "") as Line);
  const logged = sidecar.lines.filter((line) => line["msg"] === "request");
  assert.equal(streamed.length, 20);
  assert.deepEqual(streamed, logged);
  await redis.cli.del("outrigger:logs:users");
  await using other = await startSidecar({
    upstream: hello,
    redisUrl: redis.url,
    policy: { plugins: ["logging"], pluginConfig: { logging: { stream: true } } },
    env: { OUTRIGGER_SERVICE: "users", OUTRIGGER_LOG_FORMAT: "clf" },
  });
  await eventually("the policy is in force", async () => (await fetch(`${other.adminUrl}/readyz`)).ok);
  await fetch(`${other.url}/in "clf"`);
  const { text } = await other.line((line) => typeof line["text"] === "string");
  assert.match(String(text), /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/in%20%22clf%22 HTTP\/1\.1" 200 5 "-" /);
  await other.stop();
  assert.ok(other.lines.some(({ level, msg }) => level === 30 && typeof msg === "string"));
  const [[, fields] = ["", []]] = await redis.cli.xrange("outrigger:logs:users", "-", "+");
  assert.equal((JSON.parse(fields[1] ?? "") as Line)["path"], "/in%20%22clf%22");
});
