// The plugins' HTTP client with servers that fail, hang or close, and how many calls a plugin may make at once.
import assert from "node:assert/strict";
import type http from "node:http";
import { after, afterEach, before, test } from "node:test";
import type { HttpAnswer, HttpMethod, HttpRequest } from "../../../../../src/plugin-api/services.ts";
import {
  createHttpClient,
  type HttpClientOptions,
  type OwnHttpClient,
} from "../../../../../src/runtime/services/http/client.ts";
import { AllowedHosts } from "../../../../../src/runtime/services/http/allowed-hosts.ts";
import { AnswerRoom } from "../../../../../src/runtime/services/http/answer-body.ts";
import { Connections } from "../../../../../src/runtime/services/http/connections.ts";
import { exchange } from "../../../../../src/runtime/services/http/exchange.ts";
import { pauseMs } from "../../../../../src/runtime/services/http/retry.ts";
import { createMetrics } from "../../../../../src/telemetry/metrics.ts";
import { TestClock } from "../../../../../src/testing/clock.ts";
import { EndpointServer } from "../../../../support/endpoint-server.ts";
import { eventually } from "../../../../support/redis.ts";

let answer: http.RequestListener;
let server: EndpointServer;
before(async () => {
  server = new EndpointServer((request, response) => answer(request, response));
  await server.listen();
});
after(() => server.close());

const clock = new TestClock();
const metrics = createMetrics({ service: "test" });
let client: OwnHttpClient | undefined;
/** A client without pauses between tries. */
function open(options: HttpClientOptions = {}): void {
  client?.close();
  client = createHttpClient({ plugin: "geo", metrics, clock, random: () => 0, ...options });
  server.asked = 0;
}
afterEach(() => client?.close());

const limits = { timeoutMs: 2_000, maxBodyBytes: 1_000 };
const ask = (options: Partial<HttpRequest> = {}): Promise<HttpAnswer> =>
  (client as OwnHttpClient).request({ url: server.url, ...limits, ...options });

test("every method is spoken, with bodies as they are", async () => {
  open();
  answer = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.once("end", () => response.end(`${request.method} ${Buffer.concat(chunks).toString("hex")}`));
  };
  const body = Buffer.from([0, 255, 10]);
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const)
    assert.equal(String((await ask({ method, body })).body), `${method} 00ff0a`);
  answer = (_request, response) =>
    response.writeHead(200, { "content-encoding": "gzip", "content-length": 500 }).end();
  assert.equal((await ask({ method: "HEAD" })).body.length, 0);
  await assert.rejects(ask({ method: "TRACE" as HttpMethod }), /method TRACE/);
});

test("what repeating does not change is tried again, within the number of tries", async () => {
  open();
  const statuses = [503, 502, 200];
  answer = (_request, response) => response.writeHead(statuses[server.asked - 1] ?? 200).end();
  assert.equal((await ask()).status, 200);
  assert.equal(server.asked, 3);
  answer = (_request, response) => response.writeHead(503).end("busy");
  for (const [options, tries] of [
    [{}, 3],
    [{ method: "PUT" }, 3],
    [{ retries: 0 }, 1],
    [{ method: "POST" }, 1],
    [{ method: "PATCH" }, 1],
  ] as [Partial<HttpRequest>, number][]) {
    open();
    const last = await ask(options);
    assert.deepEqual(
      [last.status, String(last.body), server.asked],
      [503, "busy", tries],
      JSON.stringify(options),
    );
  }
  open();
  assert.equal((await ask({ method: "POST", retries: 1, breaker: false })).status, 503);
  assert.equal(server.asked, 2);
  // 500 says that the request is the trouble, 404 that there is nothing.
  for (const status of [500, 404]) {
    open();
    answer = (_request, response) => response.writeHead(status).end();
    assert.equal((await ask()).status, status);
    assert.equal(server.asked, 1);
  }
  await assert.rejects(ask({ retries: 6 }), /retries must be/);
});

test("a broken connection and a slow try are tried again; a bad answer is not", async () => {
  open();
  answer = (request, response) => (server.asked === 1 ? request.socket.destroy() : response.end("second"));
  assert.equal(String((await ask()).body), "second");
  open();
  answer = (_request, response) => (server.asked === 1 ? undefined : response.end("second"));
  assert.equal(String((await ask({ perTryTimeoutMs: 100 })).body), "second");
  open();
  answer = (_request, response) => response.end(Buffer.alloc(2_000));
  await assert.rejects(ask(), { name: "HttpError", reason: "bad_answer" });
  assert.equal(server.asked, 1);
});

test("pauses double, are drawn from nothing to their full length, and are as long as the server says", () => {
  const failed = (fields: [string, string][] = []): HttpAnswer => ({
    status: 503,
    fields: new Map(fields),
    body: Buffer.alloc(0),
  });
  const longest = [0, 1, 2, 3, 9].map((retry) => pauseMs(retry, failed(), () => 1));
  assert.deepEqual(longest, [50, 100, 200, 400, 2_000]);
  assert.equal(
    pauseMs(3, failed(), () => 0),
    0,
  );
  assert.equal(
    pauseMs(1, failed(), () => 0.5),
    50,
  );
  assert.equal(
    pauseMs(0, failed([["retry-after", "3"]]), () => 1),
    3_000,
  );
  assert.equal(
    pauseMs(0, failed([["retry-after", "soon"]]), () => 1),
    50,
  );
});

test("a pause that would not end in time is not begun: the answer is what there is", async () => {
  open();
  answer = (_request, response) => response.writeHead(503, { "retry-after": "60" }).end();
  const from = performance.now();
  assert.equal((await ask()).status, 503);
  assert.ok(performance.now() - from < 20_000);
  assert.equal(server.asked, 1);
});

test("retries to a host have a budget: one call in five, and ten saved up", async () => {
  open();
  answer = (_request, response) => response.writeHead(503).end();
  for (let i = 0; i < 20; i += 1) await ask({ breaker: false });
  // 20 calls, the ten saved up, and of those that the calls added a few more.
  assert.ok(server.asked >= 30 && server.asked <= 34, `${server.asked} tries`);
  assert.match(await metrics.render(), /retries_total\{.*plugin="geo".*result="over_budget"\} [1-9]/);
});

test("a host that keeps failing is not asked for a while, then by one call", async () => {
  open();
  answer = (_request, response) => response.writeHead(500).end();
  for (let i = 0; i < 5; i += 1) await ask();
  const refused = { name: "HttpError", reason: "breaker_open" };
  await assert.rejects(ask(), refused);
  assert.equal(server.asked, 5);
  // Another host of the same plugin is.
  const other = new EndpointServer((_request, response) => response.end("well"));
  await other.listen();
  assert.equal((await ask({ url: other.url })).status, 200);
  other.close();
  clock.advance(1_100);
  let release: (() => void) | undefined;
  answer = (_request, response) => (release = () => void response.end("back"));
  const probe = ask();
  await eventually("the probe is under way", () => release !== undefined);
  await assert.rejects(ask(), refused);
  release?.();
  assert.equal(String((await probe).body), "back");
  answer = (_request, response) => response.end("well");
  assert.equal((await ask()).status, 200);
  // Who keeps a breaker of its own asks as ever.
  answer = (_request, response) => response.writeHead(500).end();
  for (let i = 0; i < 10; i += 1) assert.equal((await ask({ breaker: false })).status, 500);
});

test("calls that their caller ends say nothing about the host", async () => {
  open();
  answer = () => {};
  for (let i = 0; i < 6; i += 1)
    await assert.rejects(ask({ signal: AbortSignal.timeout(20) }), { reason: "aborted" });
  await assert.rejects(ask({ signal: AbortSignal.abort() }), { reason: "aborted" });
  answer = (_request, response) => response.end("well");
  assert.equal((await ask()).status, 200);
});

test("the time limit holds over tries and pauses together, and for a body that trickles", async () => {
  open({ random: () => 1 });
  answer = (_request, response) => response.writeHead(503).end();
  await ask({ timeoutMs: 400, retries: 5 });
  assert.ok(server.asked <= 4, `${server.asked} tries in 400 ms`);
  answer = (_request, response) => {
    const trickle = setInterval(() => response.write("x"), 20);
    response.once("close", () => clearInterval(trickle));
  };
  await assert.rejects(ask({ timeoutMs: 200 }), { reason: "timeout", message: /no answer within 200 ms/ });
});

test("connections are kept for the next call, few of them, and closed with the plugin", async () => {
  const sockets = new Set<unknown>();
  open();
  answer = (request, response) => {
    sockets.add(request.socket);
    response.end();
  };
  for (let i = 0; i < 3; i += 1) await ask();
  assert.equal(sockets.size, 1);
  // Nothing may be repeated unseen here: a connection of its own.
  await ask({ method: "POST" });
  assert.equal(sockets.size, 2);
  let now = 0;
  let most = 0;
  answer = (_request, response) => {
    most = Math.max(most, (now += 1));
    setTimeout(() => {
      now -= 1;
      response.end();
    }, 10);
  };
  await Promise.all(Array.from({ length: 40 }, () => ask()));
  assert.equal(most, 16);
  assert.ok(server.connections > 0);
  client?.close();
  await eventually("no connection is left", () => server.connections === 0);
  await assert.rejects(ask(), /plugin "geo" is closed/);
  client?.open();
  assert.equal((await ask()).status, 200);
});

test("a kept connection that the server has closed is not the caller's trouble", async () => {
  open();
  answer = (request, response) => {
    if (server.asked === 1) response.end();
    else if (server.asked === 2) request.socket.destroy();
    else response.end("on another one");
  };
  await ask();
  assert.equal(String((await ask({ retries: 0 })).body), "on another one");
});

test("closing ends the calls that are under way", async () => {
  open();
  answer = () => {};
  const asked = ask();
  await eventually("the call is under way", () => server.asked === 1);
  client?.close();
  await assert.rejects(asked, { reason: "aborted" });
});

test("a plugin has so many calls at once, and is told when it wants more", async () => {
  open({ maxInFlight: 2 });
  const waiting: (() => void)[] = [];
  answer = (_request, response) => void waiting.push(() => void response.end());
  const asked = [ask(), ask()];
  await assert.rejects(ask(), {
    name: "QuotaExceeded",
    quota: "http_in_flight",
    message: 'plugin "geo" is over its quota of 2 calls at once (http_in_flight)',
  });
  await eventually("both are under way", () => waiting.length === 2);
  waiting.forEach((release) => release());
  await Promise.all(asked);
  answer = (_request, response) => response.end();
  assert.equal((await ask()).status, 200);
  assert.match(await metrics.render(), /quota_refusals_total\{.*plugin="geo",quota="http_in_flight"\} 1/);
});

test("a plugin has so many calls a second, further tries among them, and as many saved up", async () => {
  open({ maxPerSecond: 3 });
  answer = (_request, response) => response.writeHead(503).end();
  assert.equal((await ask({ retries: 5, breaker: false })).status, 503);
  assert.equal(server.asked, 3, "no further try past it");
  const over = 'plugin "geo" is over its quota of 3 calls a second (http_calls)';
  await assert.rejects(ask(), { name: "QuotaExceeded", quota: "http_calls", message: over });
  clock.advance(334);
  assert.equal((await ask({ retries: 0, breaker: false })).status, 503);
  await assert.rejects(ask(), { quota: "http_calls" });
  clock.advance(60_000);
  for (let count = 0; count < 3; count += 1) await ask({ retries: 0, breaker: false });
  await assert.rejects(ask(), { quota: "http_calls" });
  assert.match(await metrics.render(), /quota_refusals_total\{.*plugin="geo",quota="http_calls"\} 3/);
});

test("calls go only where the definition says, to private addresses only where it names the host", async () => {
  answer = (_request, response) => response.end("here");
  const { host, port } = new URL(server.url);
  open({ hosts: [host, `*.example:${port}`, "api.example"] });
  assert.equal(String((await ask()).body), "here");
  const undeclared = {
    name: "NotDeclared",
    message: /plugin "geo" uses the host "[^"]+", .*\(needs\.hosts\)/,
  };
  const elsewhere = [
    `http://127.0.0.2:${port}/`,
    "http://127.0.0.1/",
    "http://other.invalid/",
    "http://api.example:8080/",
    `http://example:${port}/`,
    `http://badexample:${port}/`,
  ];
  for (const url of elsewhere) await assert.rejects(ask({ url }), undeclared, url);
  assert.equal(server.asked, 1);
  const closed = { name: "HttpError", reason: "closed_address", message: /is a private address/ };
  const way = {
    connections: new Connections(),
    privateToo: false,
    pooled: true,
    signal: AbortSignal.timeout(2_000),
    room: new AnswerRoom(Infinity),
  };
  for (const url of [server.url, `http://localhost:${port}/`])
    await assert.rejects(exchange(new URL(url), { url, ...limits }, way), closed);
  assert.deepEqual(
    ["https://a.example/", "https://1.2.3.4/", "https://api.example/"].map(
      (url) => new AllowedHosts(["*.example", "1.2.3.4"]).of(new URL(url))?.privateToo,
    ),
    [false, true, false],
  );
  open({ hosts: ["169.254.169.254"] });
  await assert.rejects(ask({ url: "http://169.254.169.254/" }), { reason: "closed_address" });
  for (const bad of ["", "*.", "*.localhost:*", "a b", "http://x", "x:99999", "*x", "x/y", ".x"])
    assert.throws(() => createHttpClient({ hosts: [bad] }), /needs\.hosts/, bad);
  open();
  for (const name of ["Host", "connection", "Transfer-Encoding"])
    await assert.rejects(ask({ fields: { [name]: "x" } }), /is set by the client itself/);
});

test("all is counted under the plugin's name, and no secret shows", async () => {
  const { host } = new URL(server.url);
  const own = createMetrics({ service: "test" });
  open({ metrics: own, hosts: [host] });
  answer = (_request, response) => response.writeHead(404).end();
  await ask({ url: `${server.url}/secret-path?token=secret`, fields: { authorization: "secret" } });
  answer = () => {};
  await assert.rejects(ask({ url: `${server.url}/secret`, timeoutMs: 50 }), (error: Error) => {
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  await assert.rejects(ask({ url: "http://secret.invalid/" }));
  const text = await own.render();
  const counted = (labels: string): RegExp =>
    new RegExp(`requests_total\\{service="test",plugin="geo",${labels}\\} 1`);
  assert.match(text, counted(`host="${host}",result="4xx"`));
  assert.match(text, counted(`host="${host}",result="timeout"`));
  assert.match(text, counted('host="other",result="refused"'));
  assert.match(text, /duration_seconds_count\{.*plugin="geo".*\} 2/);
  assert.doesNotMatch(text, /secret/);
});
