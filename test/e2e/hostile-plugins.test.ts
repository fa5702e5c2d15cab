// Hostile external plugins in a process of their own: each affects only its own requests, by their fail mode, and 64
// other connections notice nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startSidecar, type TestSidecar } from "outrigger/plugin/testing";
import type { PluginDefinition } from "outrigger/plugin";
import { createProcessPlugin } from "../../src/runtime/process/plugin.ts";
import { assertUnharmed, besideOf } from "../support/beside.ts";
import { bundleExtension } from "../support/extensions.ts";
import { bundledPluginProcess } from "../support/plugin-process.ts";
import { eventually } from "../support/redis.ts";

const program = await bundledPluginProcess();

/** What each plugin does when its route is asked; all that is needed in it is JavaScript. */
const lethal: Readonly<Record<string, string>> = {
  // Fails open: its requests go on without it.
  "spin-open": "onRequest() { for (;;); }",
  // No limit inside of a thread or isolate ends this one (Node 26).
  "array-bomb": "onRequest() { const all = []; for (;;) all.push(new Array(1000).fill({})); }",
  "buffer-bomb": `async onRequest() {
    const all = [];
    for (;;) { all.push(Buffer.alloc(4_194_304, 1)); await new Promise(setImmediate); } }`,
  "spin-request": "onRequest() { for (;;); }",
  "spin-response": "onResponse() { for (;;); }",
  "spin-timer": "onRequest() { setTimeout(() => { for (;;); }, 1); return new Promise(() => {}); }",
  "spin-ticks": `onRequest() {
    const next = () => { process.nextTick(next); };
    next(); return new Promise(() => {}); }`,
  "timer-bomb": `onRequest() {
    const more = () => { for (let i = 0; i < 10; i += 1) setTimeout(more); };
    more(); return new Promise(() => {}); }`,
  "lying-length": `onRequest() {
    const write = Buffer.prototype.writeUInt32BE;
    Buffer.prototype.writeUInt32BE = function (value, at) { return write.call(this, 0x7fffffff, at); }; }`,
  "wrong-length": `onRequest() {
    const write = Buffer.prototype.writeUInt32BE;
    Buffer.prototype.writeUInt32BE = function (value, at) { return write.call(this, value - 1, at); }; }`,
  "no-json": "onRequest() { JSON.stringify = () => '{'; }",
  "no-message": `onRequest() { JSON.stringify = () => '["answer"],7,null'; }`,
  "socket-flood": `onRequest() {
    const real = JSON.stringify;
    const lines = Array(20_000).fill('["log","info","x","{}"]').join();
    JSON.stringify = (value) => (value[0] === "log" ? lines : real(value));
    Date.now = ((now) => () => (now += 1_000))(0);
    const more = () => { services.logger.info({}, "x"); setImmediate(more); };
    more(); return new Promise(() => {}); }`,
  "answers-to-nobody": `onRequest() {
    JSON.stringify = () => Array(20_000).fill('["answer",0,null,null]').join(); }`,
  "throwing-timers": `onRequest() {
    setInterval(() => { throw new Error("again"); }, 1); return new Promise(() => {}); }`,
};

/** What leaves the process alive: each request is one of them, by its path. */
const survived = `
  const rubbish = [1, "x", [], {}, { action: "allow" }, { action: "respond" }, { action: "respond", status: "200" },
    { action: "respond", status: 101 }, { action: "respond", status: 200, fields: ["X-A"] }, { action: "reject", error: new Error("no") },
    { action: "respond", status: 200, body: { length: 7 } }, { action: "respond", status: 200, body: "x".repeat(2_000_000) },
    { action: "respond", status: 200, fields: ["X-A", "a\\r\\nX-Evil: 1"] }, { action: "respond", status: 200, fields: ["Content-Length", "99999"] },
    { action: "respond", status: 200, fields: ["Transfer-Encoding", "chunked"] },
    { get action() { throw new Error("a getter") } }, new Proxy({}, { get() { throw new Error("a proxy") } }), { then: 1, action: 1n }];
  const doing = {
    ok() {},
    throw() { throw new Error("thrown"); },
    null() { throw null; },
    object() { throw Object.create(null); },
    message() { throw { get message() { throw 1 }, toString() { throw 2 } }; },
    rejects() { return Promise.reject(new Error("rejected")); },
    thenable() { return { then(resolve, reject) { reject(new Error("from a thenable")); } }; },
    getter() { return { get then() { throw new Error("a getter"); } }; },
    never() { return new Promise(() => {}); },
    unhandled() { Promise.reject(new Error("nobody's")); throw new Error("and thrown"); },
    identity(exchange) { exchange.identity = { userId: "root" }; },
    fields(exchange) { exchange.request.fields.set("Content-Length", "0"); },
    host(exchange) { exchange.request.fields.set("Host", "evil"); },
    split(exchange) { exchange.request.fields.set("X-A", "a\\r\\nX-Evil: 1"); },
    many(exchange) { for (let i = 0; i < 1_000; i += 1) exchange.request.fields.append("X-A", "a"); },
    forwarded(exchange) { exchange.request.fields.set("X-Forwarded-For", "10.0.0.1"); },
    verdict(exchange) { return rubbish[Number(exchange.request.query.slice(1))]; },
    members() { return { action: "reject", error: new GatewayError("forbidden", "x", { members: JSON.parse('{"__proto__":{"polluted":1}}') }) }; },
    log() { for (let i = 0; i < 2_000; i += 1) services.logger.error({ big: "x".repeat(10_000) }, "flood"); throw new Error("flooded"); },
    metrics() { for (let i = 0; i < 5_000; i += 1) services.metrics.counter("outrigger_alive_" + i + "_total", "x")().inc(); throw new Error("flooded"); },
    foreign() { services.metrics.gauge("outrigger_plugin_quarantined", "x", ["plugin", "version"])("alive", "1").set(1); throw new Error("tried"); },
    secrets() { return { action: "respond", status: 200, body: services.secrets.get("SECRET_OTHER") }; },
    requests() { for (let i = 0; i < 1_000; i += 1) services.http.request({ url: "http://127.0.0.1:9/", timeoutMs: 1, maxBodyBytes: 1 }).catch(() => {}); throw new Error("asked"); },
    pollute() { Object.prototype.action = "respond"; Object.prototype.status = 200; Object.prototype.body = "polluted"; Object.prototype.then = undefined; Array.prototype.includes = () => true; throw new Error("polluted"); },
  };`;
const survivals = [
  ...Array.from({ length: 18 }, (_, i) => `verdict?${i}`),
  "throw",
  "null",
  "object",
  "message",
  "rejects",
  "thenable",
  "getter",
  "never",
  "unhandled",
  "identity",
  "fields",
  "host",
  "split",
  "many",
  "forwarded",
  "members",
  "log",
  "metrics",
  "foreign",
  "secrets",
  "requests",
  "pollute",
];

function hostile(name: string, members: string, priority: number): PluginDefinition {
  const code = `const { definePlugin, z, GatewayError } = require("outrigger/plugin"); ${members}`;
  return createProcessPlugin(
    bundleExtension({
      name,
      code,
      manifest: { priority },
      entry: { runtime: "process", limits: { memoryMiB: 48, restartsPerMinute: 60 } },
    }),
    program,
  );
}

const plugins = [
  ...Object.entries(lethal).map(([name, hook], i) =>
    hostile(
      name,
      `module.exports.plugin = definePlugin({ setup: ({ services }) => ({ ${hook} }) });`,
      100 + i,
    ),
  ),
  hostile(
    "alive",
    `module.exports.plugin = definePlugin({ setup({ services }) { ${survived}
      return { onRequest: (exchange) => doing[exchange.request.path.slice(7)](exchange) }; } });`,
    99,
  ),
];

const ending = Object.keys(lethal);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapMiB(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1_048_576;
}

describe("plugins that mean harm", () => {
  let sidecar: TestSidecar;
  const ask = async (path: string): Promise<[number, string]> => {
    const answer = await fetch(`${sidecar.url}${path}`);
    return [answer.status, await answer.text()];
  };
  const died = (name: string): boolean =>
    sidecar.lines.some(({ plugin, reason }) => plugin === name && typeof reason === "string");

  /** The attack, between clients that must not notice; how fast they are without it is this machine's affair. */
  const besideAttack = async (attack: () => Promise<void>): Promise<void> => {
    const url = `${sidecar.url}/beside`;
    const quiet = await besideOf(url, () => pause(500));
    assertUnharmed(await besideOf(url, attack), Math.max(500, 5 * quiet.p99Ms));
  };

  before(async () => {
    const routes = [...ending, "alive"].map((name) => ({ path: `/${name}/*`, plugins: [name] }));
    sidecar = await startSidecar({
      plugins,
      policy: {
        plugins: [],
        pluginConfig: { "spin-open": { failMode: "open" } },
        routes: [...routes, { path: "/*", plugins: [] }],
      },
      upstream: (request, response) => response.end(JSON.stringify(request.headers)),
      env: { OUTRIGGER_SECRET_OTHER: "a secret of others" },
    });
  });
  after(() => sidecar.stop());

  test("cost their own requests alone, whatever they do to their process", async () => {
    const beforeMiB = heapMiB();
    const statuses: Record<string, number> = {};
    const attack = async (): Promise<void> => {
      for (const name of ending) {
        [statuses[name]] = await ask(`/${name}/x`);
        await eventually(`${name} is killed`, () => died(name));
      }
    };
    await besideAttack(attack);
    for (const name of ending) assert.equal(statuses[name], name === "spin-open" ? 200 : 503, name);
    const grownMiB = heapMiB() - beforeMiB;
    assert.ok(grownMiB < 32, `the sidecar grew by ${Math.round(grownMiB)} MiB`);
  });

  test("cost their own requests alone, whatever they answer", async () => {
    const answers = new Map<string, [number, string]>();
    const attack = async (): Promise<void> => {
      for (const path of survivals) answers.set(path, await ask(`/alive/${path}`));
    };
    await besideAttack(attack);
    const expected = new Map<string, number>([["members", 403]]);
    for (const [path, [status, text]] of answers) {
      assert.equal(status, expected.get(path) ?? 503, path);
      assert.doesNotMatch(text, /a secret of others|Evil|polluted":1,/, path);
    }
    assert.equal(died("alive"), false);
    const polluted: Record<string, unknown> = {};
    assert.deepEqual([polluted["action"], polluted["polluted"]], [undefined, undefined]);
    assert.equal((await ask("/alive/ok"))[0], 200);
    // Changes of metrics are told four times a second.
    const isDropped = /^outrigger_plugin_effects_dropped_total\{.*plugin="alive".*\} [1-9]/m;
    await eventually("what is too much is counted", async () => isDropped.test(await sidecar.metrics()));
    const metrics = await sidecar.metrics();
    assert.doesNotMatch(metrics, /^outrigger_plugin_quarantined\{.*\} 1$/m);
    const series = metrics.match(/^outrigger_alive_/gm) ?? [];
    assert.ok(series.length <= 64, `${series.length} metrics`);
    const lines = sidecar.lines.filter(({ msg }) => msg === "flood").length;
    assert.ok(lines <= 200, `${lines} lines of the flood came through`);
  });
});

test("plugins that mean harm as they are loaded refuse their policy, and nothing of them stays", async () => {
  const loads: Readonly<Record<string, [code: string, why: RegExp]>> = {
    spin: ["for (;;);", /something in it runs without end/],
    bomb: ["const all = []; for (;;) all.push(new Array(1000).fill({}));", /its process is gone/],
    "spin-set-up": ["module.exports = { setup() { for (;;); } };", /something in it runs without end/],
    throw: ["throw { toString() { throw 1; } };", /an error without text/],
    lie: ["Buffer.prototype.writeUInt32BE = () => 5;", /its process is gone/],
  };
  await Promise.all(
    Object.entries(loads).map(async ([name, [code, why]]) => {
      await using refused = await startSidecar({
        plugins: [hostile(name, code, 99)],
        policy: { plugins: [name] },
        upstream: (_request, response) => response.end(),
      });
      setTimeout(() => console.log(name, JSON.stringify(refused.lines)), 15000).unref();
      const line = await refused.line(({ problems }) => problems !== undefined);
      assert.match(JSON.stringify(line["problems"]), why, name);
      assert.equal((await fetch(refused.url)).status, 503);
    }),
  );
});
