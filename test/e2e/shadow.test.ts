// A shadow candidate that decides beside the policy in force: its different decisions are reported, and none has an
// effect.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Writable } from "node:stream";
import { after, afterEach, before, test } from "node:test";
import { startService } from "../support/crew.ts";
import { outrigger } from "../support/process.ts";
import { eventually as within, type RedisServer, startRedis } from "../support/redis.ts";
import { monitorRedis } from "../support/redis-monitor.ts";
import { createSidecar, type EmbeddedSidecar } from "../../src/app/embedded.ts";

const apiKey = "a-key-that-nobody-may-see";
const keys = [
  { sha256: createHash("sha256").update(apiKey).digest("hex"), id: "k1", userId: "ann", scopes: ["read"] },
];
const limit = (count: number) => ({ limits: [{ name: "all", limit: count, window: "1h" }] });
const base = {
  apiVersion: "outrigger/v1",
  plugins: ["logging"],
  pluginConfig: { auth: { apiKeys: { keys } }, "rate-limit": limit(1_000) },
  routes: [
    { path: "/orders/*", plugins: ["logging", "auth", "rate-limit"] },
    { path: "/open/*", plugins: ["logging", "rate-limit"] },
    { path: "/closed/*", plugins: ["logging", "respond"], pluginConfig: { respond: { status: 403 } } },
    { path: "/plain/*" },
  ],
};
/** Tighter here, looser there; and plugins with effects all over. */
const candidate = (asked: string) => ({
  ...base,
  pluginConfig: {
    ...base.pluginConfig,
    auth: { apiKeys: { keys }, rules: [{ allow: { scopes: { all: ["write"] } } }] },
    "ext-auth": { url: asked },
    transform: { addHeaders: { "x-engine": "new" } },
  },
  routes: [
    { path: "/orders/*", plugins: ["logging", "auth", "rate-limit"] },
    {
      path: "/open/*",
      plugins: ["logging", "rate-limit"],
      pluginConfig: { "rate-limit": limit(1) },
    },
    { path: "/closed/*", plugins: ["logging"] },
    { path: "/plain/*", plugins: ["logging", "transform"] },
    { path: "/plain/asked/*", plugins: ["logging", "ext-auth", "cache"] },
  ],
});

const folder = mkdtempSync(join(tmpdir(), "outrigger-shadow-"));
let redis: RedisServer;
let sidecar: EmbeddedSidecar;
/** Of the event loop, as the sidecar is told: this machine has more to do. */
let utilization = 0;
const lines: string[] = [];
/** What `ext-auth` would ask. */
let asked: http.Server & { url: string };
let upstream: http.Server & { url: string };
let askedOf = 0;
const served: string[] = [];
before(async () => {
  redis = await startRedis();
  asked = await startService((_request, response) => {
    askedOf += 1;
    response.end();
  });
  await redis.cli.set("outrigger:policy", JSON.stringify(base));
  upstream = await startService(({ method, url, headers }, response) => {
    const { "x-request-id": _, traceparent: __, ...others } = headers;
    served.push(JSON.stringify([method, url, others]));
    response.end("ok");
  });
  const log = new Writable({
    write(chunk, _encoding, done) {
      lines.push(...String(chunk).trim().split("\n"));
      done();
    },
  });
  const env = { REDIS_URL: redis.url, OUTRIGGER_SERVICE: "orders", OUTRIGGER_INSTANCE: "orders-1" };
  sidecar = await createSidecar({ upstream: upstream.url, env, log }, { utilization: () => utilization });
  await eventually(
    "it is in the fleet",
    async () => (await redis.cli.exists("outrigger:fleet:orders:orders-1")) === 1,
  );
});
afterEach(async () => {
  await run("policy", "abort");
  await isGone();
  await putBack();
});
after(async () => {
  await sidecar.stop();
  asked.close();
  upstream.close();
  await redis.close();
  rmSync(folder, { recursive: true });
});

/** Commands are processes: on a machine with much other work each takes seconds. */
const eventually = (what: string, ask: () => Promise<boolean> | boolean) => within(what, ask, 50_000);
const run = (...args: string[]) =>
  outrigger(args, { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada", OUTRIGGER_SECRET_HOSTS: "" });
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  assert.equal(code, 0, stderr + stdout);
  return stdout;
}
function file(document: object): string {
  const path = join(folder, `${crypto.randomUUID()}.json`);
  writeFileSync(path, JSON.stringify(document));
  return path;
}
async function ask(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  http.request(`${sidecar.url}${path}`, { headers, method }, resolve).once("error", reject).end();
  const answer = await promise;
  await text(answer);
  return answer.statusCode ?? 0;
}
const shown = async () =>
  (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as {
    revision: number;
    canary: { state: string; shadow?: { ready: boolean; compared: number } } | null;
    documents: { shared: string } | null;
  };
async function putBack(): Promise<void> {
  const text = JSON.stringify(base);
  await redis.cli.set("outrigger:policy", text);
  const digest = createHash("sha256").update(text).digest("hex");
  await eventually("it is back", async () => (await shown()).documents?.shared === digest);
}
const isGone = () => eventually("there is no shadow", async () => (await shown()).canary === null);
const begin = (document: object, ...args: string[]) =>
  ok("policy", "apply", file(document), "--shadow", "--sample", "100%", "--every", "50ms", ...args);
async function shadow(document: object, ...args: string[]): Promise<void> {
  await begin(document, ...args);
  await eventually("the candidate is set up", async () => (await shown()).canary?.shadow?.ready === true);
}
interface Report {
  readonly run: { readonly revision: number; readonly digest: string };
  readonly compared: number;
  readonly same: number;
  readonly dropped: number;
  readonly skipped: number;
  readonly failed: number;
  readonly rows: readonly {
    readonly route: string;
    readonly plugin: string;
    readonly kind: string;
    readonly count: number;
    readonly samples: readonly { readonly about: readonly string[]; readonly caller: string }[];
  }[];
}
async function reported(requests: number): Promise<Report> {
  let report: Report | undefined;
  await eventually(`${requests} requests are compared`, async () => {
    report = JSON.parse(await ok("policy", "shadow-report", "--json")) as Report;
    return report.compared + report.dropped + report.skipped + report.failed === requests;
  }).catch(() => assert.fail(JSON.stringify(report)));
  return report as Report;
}
const everything = async (): Promise<number[]> => {
  const statuses: number[] = [];
  for (const [path, headers] of [
    ["/orders/1?page=2", { "x-api-key": apiKey }],
    ["/orders/2", {}],
    ["/orders/3", { "x-api-key": "wrong" }],
    ["/open/1", {}],
    ["/closed/1", {}],
    ["/plain/1", {}],
    ["/plain/asked/1", {}],
    ["/nowhere", {}],
  ] as const)
    statuses.push(await ask(path, headers));
  return statuses;
};

test("what it would do otherwise is told, by route, plugin and kind", async () => {
  await shadow(candidate(asked.url), "--reason", "tighter");
  assert.deepEqual(await everything(), [200, 401, 401, 200, 403, 200, 200, 404]);
  const report = await reported(8);
  assert.deepEqual(
    report.rows
      .map(({ route, plugin, kind, count, samples }) => [route, plugin, kind, count, samples[0]?.about])
      .toSorted((a, b) => String(a).localeCompare(String(b))),
    [
      ["/closed/*", "respond", "allowed", 1, []],
      ["/open/*", "rate-limit", "unknown", 1, ["counts of limits"]],
      ["/orders/*", "auth", "refused", 1, []],
      ["/plain/*", "ext-auth", "unknown", 1, ["what the service it asks would answer"]],
      ["/plain/*", "transform", "request-fields", 1, ["x-engine"]],
    ],
  );
  assert.deepEqual([report.compared, report.same], [8, 3]);
  const told = JSON.stringify(report);
  for (const secret of [apiKey, "ann", "page=2", "wrong"]) assert.ok(!told.includes(secret), secret);
  const series =
    'outrigger_policy_shadow_differences_total{service="orders",route="/orders/*",plugin="auth",kind="refused"} 1';
  assert.ok((await sidecar.metrics()).includes(series));
  const table = await ok("policy", "shadow-report");
  assert.match(
    table,
    /by ada since .* \(tighter\): 100% of the requests\n8 requests compared by one sidecar, 3 of/,
  );
  assert.equal((await run("policy", "shadow-report", "--strict")).code, 1);
});

test("what was counted last is told when the policy is changed under it", async () => {
  await shadow(candidate(asked.url), "--every", "1m");
  await everything();
  await eventually("all are compared", async () => (await shown()).canary?.shadow?.compared === 8);
  await redis.cli.set("outrigger:policy", JSON.stringify({ ...base, plugins: [] }));
  assert.equal((await reported(8)).compared, 8);
});

/** What Redis was asked for by others than whoever follows policies, canaries and the fleet. */
async function effectsOf(work: () => Promise<unknown>): Promise<readonly string[]> {
  const monitor = await monitorRedis(redis.url);
  const { commands } = monitor;
  await work();
  const mark = crypto.randomUUID();
  await redis.cli.echo(mark);
  await eventually("all is told", () => commands.some((each) => each.includes(mark)));
  monitor.close();
  // When a key was used last is written now and then, by a timer.
  const planes =
    /outrigger:(keyuse|canary|shadow:|policy|applied|fleet|live|disabled|scratch|probe|direct)|^(ping|echo|time|info|script|client)/i;
  // What, and of which keys; times and counts are other ones.
  const shape = (command: string) =>
    [command.split(" ")[0], ...(command.match(/outrigger:[^ ]+/g) ?? [])].join(" ");
  return commands.flatMap((each) => (planes.test(each) ? [] : [shape(each)])).toSorted();
}

test("not one effect: nothing in Redis, nobody asked, no line in the log", async () => {
  const rounds = async (): Promise<void> => {
    served.length = 0;
    lines.length = 0;
    for (let i = 0; i < 5; i += 1) await everything();
    await eventually("all is logged", () => accessLines().length === 40);
  };
  const accessLines = () =>
    lines
      .filter((line) => line.includes('"msg":"request"'))
      .map((line) => {
        const { route, path, status, answeredBy, userId } = JSON.parse(line) as Record<string, unknown>;
        return JSON.stringify([route, path, status, answeredBy, userId]);
      });
  const seen = async () => {
    const commands = await effectsOf(rounds);
    return { commands, served: [...served], access: accessLines(), others: lines.length - 40 };
  };
  await rounds();
  const without = await seen();
  assert.ok(without.commands.length > 0, "limits are counted in Redis");
  askedOf = 0;
  await shadow(candidate(asked.url));
  const beside = await seen();
  const report = await reported(40);
  assert.deepEqual([report.compared, report.dropped, report.failed], [40, 0, 0]);
  assert.deepEqual(beside, without);
  assert.equal(askedOf, 0);
});

test("whatever the version of HTTP, and with bodies, what goes on as it did is the same", async () => {
  await shadow({ ...base, routes: [...base.routes, { path: "/new/*" }] });
  const session = http2.connect(sidecar.url);
  for (const [method, body] of [
    ["GET", undefined],
    ["POST", "a body"],
  ] as const) {
    const stream = session.request({ ":path": "/open/1", ":method": method });
    stream.end(body);
    const [[head]] = await Promise.all([once(stream, "response"), text(stream)]);
    assert.equal((head as http2.IncomingHttpHeaders)[":status"], 200);
    assert.equal(
      (await fetch(`${sidecar.url}/open/1`, body === undefined ? {} : { method, body })).status,
      200,
    );
  }
  session.close();
  const { compared, same, rows } = await reported(4);
  assert.deepEqual([compared, same], [4, 4], JSON.stringify(rows));
});

test("under load the shadow is dropped, and the requests are not", async () => {
  await shadow(candidate(asked.url));
  utilization = 1;
  const statuses = await Promise.all(Array.from({ length: 20 }, () => ask("/plain/1")));
  utilization = 0;
  assert.deepEqual(new Set(statuses), new Set([200]));
  const { compared, dropped } = await reported(20);
  assert.deepEqual([compared, dropped], [0, 20]);
});

test("a second rollout is refused, and told who runs the first; promoted it is the policy, byte for byte", async () => {
  const wanted = file(candidate(asked.url));
  await shadow(candidate(asked.url), "--reason", "tighter");
  const { run: order } = await reported(0);
  for (const args of [["--canary", "50%"], ["--shadow"], []]) {
    const { code, stderr } = await run("policy", "apply", wanted, ...args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /a shadow of policy runs, by ada since .* \(tighter\): outrigger policy promote or abort ends it/,
    );
  }
  assert.match(await ok("fleet"), /shadow of policy, to be revision \d+, by ada: 100% of the requests since/);
  const revision = /policy is now at revision (\d+)/.exec(await ok("policy", "promote"))?.[1];
  await eventually("it is in force", async () => (await shown()).documents?.shared === order.digest);
  // Not always the one that was foreseen: how the test before left the policy may be noted meanwhile, as one of its own.
  assert.equal((await shown()).revision, Number(revision));
  await isGone();
  assert.equal(await ask("/orders/1", { "x-api-key": apiKey }), 403);
  const history = await ok("policy", "history");
  assert.match(history, /^\d+ [^\n]*shadow +ada[^\n]*shadow 100%: tighter/m);
  assert.match(history, /^- [^\n]*promoted/m);
  assert.match(history, /shadow begins/);
});

test("who promotes and who aborts it at the same time are told the same, and that is what happens", async () => {
  for (let i = 0; i < 3; i += 1) {
    await shadow({ ...base, routes: [...base.routes, { path: `/new/${i}` }] });
    const order = (await reported(0)).run;
    const said = await Promise.all([run("policy", "promote"), run("policy", "abort")]);
    const digest = createHash("sha256")
      .update((await redis.cli.get("outrigger:policy")) ?? "")
      .digest("hex");
    const isAborted = said.some(({ stdout }) => stdout.includes("is aborted"));
    assert.equal(digest === order.digest, !isAborted, JSON.stringify(said));
    await isGone();
    await putBack();
  }
});

test("it ends although its figures cannot be written, which is told once", async () => {
  await shadow(candidate(asked.url));
  const { revision } = (await reported(0)).run;
  await redis.cli.set(`outrigger:shadow:${revision}`, "of another type");
  const told = () => lines.filter((line) => line.includes("tells nothing of a shadow")).length;
  for (let i = 0; i < 3; i += 1) {
    await ask("/plain/1");
    await eventually("it is told", () => told() === 1);
  }
  await ok("policy", "abort");
  await isGone();
  await redis.cli.del(`outrigger:shadow:${revision}`);
});

test("it ends with the policy that it stands beside, and when its time is over", async () => {
  await shadow(candidate(asked.url));
  await redis.cli.set("outrigger:policy", JSON.stringify({ ...base, plugins: [] }));
  await isGone();
  assert.equal(await ask("/plain/1"), 200);
  const over = async () => (await ok("policy", "history")).includes("the policy was changed under it");
  await eventually("it is over", over);
  await putBack();
  await begin(candidate(asked.url), "--for", "300ms");
  const isLate = async () => /withdrawn[^\n]*its time was over/.test(await ok("policy", "history"));
  await eventually("it is over", isLate);
});

test("what is asked wrongly is refused", async () => {
  const { code, stderr } = await run("policy", "apply", file(base), "--shadow", "--guard", "errors<1%");
  assert.deepEqual([code, stderr.includes("--shadow has no effect and no guards")], [2, true]);
  assert.equal((await run("policy", "apply", file(base), "--sample", "5%")).code, 2);
  assert.match(
    (await run("policy", "rollback", "--service", "new")).stderr,
    /policy:new has nothing to go back to/,
  );
  await redis.cli.del("outrigger:canary", "outrigger:canary-state");
  assert.match((await run("policy", "shadow-report")).stderr, /no shadow runs/);
  for (const [key, other] of [
    ["canary", "canary-state"],
    ["canary-history", "canary-state"],
  ] as const) {
    await redis.cli.del(`outrigger:${key}`);
    await redis.cli.hset(`outrigger:${key}`, "a", "b");
    const found = await run("policy", "history");
    assert.equal(found.code, 1);
    assert.match(
      found.stderr,
      new RegExp(`^outrigger:${key} in Redis is a hash, not a .*: somebody else wrote it; DEL it`),
    );
    await redis.cli.del(`outrigger:${key}`, `outrigger:${other}`);
  }
});
