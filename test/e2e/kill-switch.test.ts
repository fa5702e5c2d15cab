// The kill switch as an operator uses it: commands against a real Redis, and the answers of real sidecars meanwhile.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { Clock } from "../../src/plugin-api/services.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { startCrew } from "../support/crew.ts";
import { pluginWith } from "../support/plugins.ts";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const policy = {
  apiVersion: "outrigger/v1",
  plugins: ["auth", "transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": "here" } } },
  routes: [{ path: "/*" }, { path: "/api/*" }],
};
const service: http.RequestListener = (_request, response) => void response.end("ok");

const folder = mkdtempSync(join(tmpdir(), "outrigger-kill-"));
let redis: RedisServer;
const sidecars: TestSidecar[] = [];
before(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  await Promise.all(sidecars.splice(0).map((sidecar) => sidecar.stop()));
  await redis.cli.del("outrigger:disabled");
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});

const run = (...args: string[]) =>
  outrigger(["plugins", ...args], { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
async function disable(...args: string[]): Promise<void> {
  const { code, stderr } = await run("disable", ...args, "--reason", "it leaks");
  assert.equal(code, 0, stderr);
}
const kept = (state: string) => readFile(join(folder, state, "disabled-orders.json"), "utf8");
async function sidecar(
  name = "orders",
  env: Record<string, string> = {},
  clock: Clock = systemClock,
): Promise<TestSidecar> {
  await redis.cli.set("outrigger:policy", JSON.stringify(policy));
  const started = await startSidecar({
    upstream: service,
    redisUrl: redis.url,
    env: { OUTRIGGER_SERVICE: name, OUTRIGGER_INSTANCE: `${name}-1`, ...env },
    clock,
  });
  sidecars.push(started);
  return started;
}
/** Within so many milliseconds it passes. */
const soon = (check: () => Promise<void>, ms: number): Promise<void> =>
  eventually(
    "that",
    async () =>
      check().then(
        () => true,
        () => false,
      ),
    ms,
  ).catch(check);
const ask = async (
  { url }: { url: string },
  path = "/",
): Promise<{ status: number; mark: string | null }> => {
  const answer = await fetch(`${url}${path}`);
  await answer.text();
  return { status: answer.status, mark: answer.headers.get("x-mark") };
};

describe("what operators are told", () => {
  test("a service or route that there is not is set and warned of, with what was probably meant", async () => {
    const one = await sidecar("orders");
    await eventually(
      "it is in the fleet",
      async () => (await redis.cli.exists("outrigger:fleet:orders:orders-1")) === 1,
    );
    const warned = async (...args: string[]) => {
      const { code, stderr } = await run("disable", ...args, "--reason", "it leaks");
      assert.equal(code, 0, stderr);
      return stderr.split("\n").filter((line) => line !== "");
    };
    assert.deepEqual(await warned("transform", "--service", "orders", "--route", "/api/*"), []);
    assert.deepEqual(await warned("transform"), []);
    assert.deepEqual(await warned("transform", "--service", "ordres"), [
      "warning: no sidecar of ordres has been heard of in the last two hours: did you mean orders?; it is set, and counts once there is one",
    ]);
    assert.match(
      (await warned("transform", "--route", "/apy/*")).join(),
      /^warning: no route of the policy is \/apy\/\* or below it: did you mean \/api\/\*\?; it is set/,
    );
    assert.match(
      (await warned("cache")).join(),
      /^warning: the policy has cache on none of these routes; it is set/,
    );
    const { stdout } = await run("disable", "cache", "--reason", "x", "--json");
    assert.deepEqual((JSON.parse(stdout) as { warnings: string[] }).warnings, [
      "the policy has cache on none of these routes",
    ]);
    await redis.cli.set("outrigger:policy", "garbage");
    assert.deepEqual(await warned("cache"), [], "nobody can tell");
    await one.stop();
  });

  test("who switched what off and on again, and why, is kept, newest first", async () => {
    await redis.cli.del("outrigger:disabled-history");
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    await disable("transform", "--ttl", "1h");
    assert.equal((await run("enable", "transform", "--reason", "mended", "--author", "bob")).code, 0);
    assert.equal((await run("enable", "transform")).code, 1, "what was not off is no entry");
    const { stdout } = await run("list", "--history");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => line.replaceAll(/ {2,}/g, "|"));
    assert.match(lines[1] ?? "", /^20\S+Z\|on\|transform\|all\|all\|-\|bob\|mended$/);
    assert.match(lines[2] ?? "", /^20\S+Z\|off\|transform\|all\|all\|1h\|ada\|it leaks$/);
    assert.equal(lines.length, 3);
    const json = JSON.parse((await run("list", "--history", "--json")).stdout) as {
      history: { act: string }[];
    };
    assert.deepEqual(
      json.history.map(({ act }) => act),
      ["enable", "disable"],
    );
    // It must not keep a switch from being set.
    await redis.cli.set("outrigger:disabled-history", "garbage");
    await disable("transform");
    assert.equal((await run("list", "--history", "--json")).code, 0);
    await redis.cli.del("outrigger:disabled-history");
  });
});

describe("a plugin that is switched off", () => {
  test("is left out within a second, and back again", async () => {
    await redis.cli.set("outrigger:policy", JSON.stringify({ ...policy, plugins: ["transform"] }));
    const one = await startSidecar({ upstream: service, redisUrl: redis.url });
    sidecars.push(one);
    assert.equal((await ask(one)).mark, "here");
    await disable("transform");
    await soon(async () => assert.equal((await ask(one)).mark, null), 5_000);
    assert.match(await one.metrics(), /outrigger_plugin_disabled\{[^}]*plugin="transform"[^}]*\} 1/);
    const line = await one.line(({ msg }) => msg === "a plugin is switched off");
    assert.deepEqual([line["plugin"], line["reason"], line["author"]], ["transform", "it leaks", "ada"]);
    const shown = (await (await fetch(`${one.adminUrl}/policy`)).json()) as {
      disabled: { plugin: string }[];
    };
    assert.deepEqual(
      shown.disabled.map(({ plugin }) => plugin),
      ["transform"],
    );
    assert.equal((await run("enable", "transform")).code, 0);
    await soon(async () => assert.equal((await ask(one)).mark, "here"), 5_000);
    assert.match(await one.metrics(), /outrigger_plugin_disabled\{[^}]*plugin="transform"[^}]*\} 0/);
  });

  test("decides who gets in: its routes are 503, unless the operator accepts that they are open", async () => {
    const one = await sidecar();
    assert.equal((await ask(one)).status, 401);
    await disable("auth");
    await soon(async () => assert.equal((await ask(one)).status, 503), 5_000);
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    await run("enable", "auth");
    await soon(async () => assert.equal((await ask(one)).status, 401), 5_000);
  });

  test("is off at the service and on the routes alone that were named", async () => {
    const [orders, users] = [await sidecar("orders"), await sidecar("users")];
    await disable("auth", "--service", "orders", "--route", "/api/*", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(orders, "/api/x")).status, 200), 5_000);
    assert.equal((await ask(orders)).status, 401);
    assert.equal((await ask(users, "/api/x")).status, 401);
  });

  test("is on again by itself when its time is over", async () => {
    const one = await sidecar();
    await disable("auth", "--accept-open-routes", "--ttl", "1s");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    await soon(async () => assert.equal((await ask(one)).status, 401), 3_000);
  });

  test("is off by Redis' clock, whatever this machine's says, also over a start without Redis", async () => {
    const env = { OUTRIGGER_STATE_DIR: join(folder, "clocks") };
    for (const byMs of [3_600_000, -3_600_000]) {
      const clock = { now: () => Date.now() + byMs, mono: () => performance.now() };
      const one = await sidecar("orders", env, clock);
      await disable("auth", "--accept-open-routes", "--ttl", "4s");
      const setMono = performance.now();
      const short = "it is off";
      await eventually(short, async () => (await ask(one)).status === 200, 3_000);
      await eventually("it is on again", async () => (await ask(one)).status === 401, 7_000);
      assert.ok(performance.now() - setMono > 2_500, "not early");

      await disable("auth", "--accept-open-routes", "--ttl", "30m");
      await eventually(short, async () => (await ask(one)).status === 200, 3_000);
      await eventually("it is kept", async () => /aheadMs/.test(await kept("clocks").catch(() => "")));
      await one.stop();
      const dead = await startSidecar({
        upstream: service,
        redisUrl: "redis://127.0.0.1:1",
        env: { OUTRIGGER_SERVICE: "orders", ...env },
        clock,
      });
      sidecars.push(dead);
      await eventually(short, async () => (await ask(dead)).status === 200, 3_000);
      await dead.stop();
      assert.equal((await run("enable", "auth")).code, 0);
    }
  });

  test("is off whatever becomes of the policy: refused, gone, another one", async () => {
    const one = await sidecar();
    await redis.cli.set("outrigger:policy", "{");
    await one.line(({ msg }) => String(msg).startsWith("policy refused"));
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    const other = { ...policy, pluginConfig: { transform: { addResponseHeaders: { "x-mark": "other" } } } };
    await redis.cli.set("outrigger:policy", JSON.stringify(other));
    await soon(async () => assert.deepEqual(await ask(one), { status: 200, mark: "other" }), 2_000);
  });

  test("is off when Redis has lost everything, until it has a policy again; and on when it is taken back with the policy gone", async () => {
    const one = await sidecar();
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    await redis.cli.flushall();
    await redis.cli.publish("outrigger:disabled", "");
    await one.line(({ msg }) => /has lost its policy, and kill switches with it/.test(String(msg)));
    assert.equal((await ask(one)).status, 200);
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    await soon(async () => assert.equal((await ask(one)).status, 401), 5_000);

    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    await redis.cli.del("outrigger:policy");
    await disable("cache");
    await one.line(({ plugin }) => plugin === "cache");
    for (const plugin of ["cache", "auth"]) assert.equal((await run("enable", plugin)).code, 0);
    await soon(async () => assert.equal((await ask(one)).status, 401), 5_000);
  });

  test("is off in a sidecar that starts anew after Redis has lost everything, and on where it was taken back meanwhile", async () => {
    const env = { OUTRIGGER_STATE_DIR: join(folder, "lost") };
    const one = await sidecar("orders", env);
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    await one.stop();
    await redis.cli.flushall();
    const start = async (): Promise<TestSidecar> => {
      const options = { upstream: service, redisUrl: redis.url };
      const started = await startSidecar({ ...options, env: { OUTRIGGER_SERVICE: "orders", ...env } });
      sidecars.push(started);
      return started;
    };
    const again = await start();
    await again.line(({ msg }) => /has lost its policy, and kill switches with it/.test(String(msg)));
    assert.equal((await ask(again)).status, 200);
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    await soon(async () => assert.equal((await ask(again)).status, 401), 5_000);

    // One that is set while Redis holds no policy, and taken back while the sidecar is down.
    await redis.cli.del("outrigger:policy");
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(again)).status, 200), 5_000);
    await eventually("it is kept", async () => /"hadPolicy":false/.test(await kept("lost")));
    await again.stop();
    assert.equal((await run("enable", "auth")).code, 0);
    const last = await start();
    await soon(async () => assert.equal((await ask(last)).status, 401), 5_000);
  });

  test("is off in a sidecar that starts, from the first request on, also when Redis is dead by then", async () => {
    const env = { OUTRIGGER_STATE_DIR: join(folder, "state") };
    const one = await sidecar("orders", env);
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    assert.equal((await ask(await sidecar("orders"))).status, 200);
    const dead = await startSidecar({
      upstream: service,
      redisUrl: "redis://127.0.0.1:1",
      env: { OUTRIGGER_SERVICE: "orders", ...env },
    });
    sidecars.push(dead);
    await soon(async () => assert.equal((await ask(dead)).status, 200), 5_000);
  });

  test("is off in every worker, also in one that starts later", async () => {
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    const upstream = http.createServer(service).listen(0, "127.0.0.1");
    await new Promise((resolve) => upstream.once("listening", resolve));
    const address = upstream.address() as { port: number };
    const crew = await startCrew({
      upstream: `http://127.0.0.1:${address.port}`,
      env: { REDIS_URL: redis.url },
    });
    try {
      const statuses = async (): Promise<number[]> =>
        await Promise.all(Array.from({ length: 8 }, async () => (await ask(crew)).status));
      await disable("auth", "--accept-open-routes");
      await soon(async () => assert.deepEqual(new Set(await statuses()), new Set([200])), 2_000);
      const [first] = crew.pids().values();
      process.kill(first ?? 0, "SIGKILL");
      await crew.until(3, ({ msg }) => msg === "worker is serving");
      assert.deepEqual(new Set(await statuses()), new Set([200]));
    } finally {
      await crew.stop();
      upstream.close();
      upstream.closeAllConnections();
    }
  });
});

describe("what is in Redis and is no kill switch", () => {
  test("takes nothing out, and is told of once", async () => {
    const one = await sidecar();
    for (const [field, value] of [
      ["auth * *", "{}"],
      ["auth * *x", '{"untilMs":null}'],
      ["auth", "off"],
    ])
      await redis.cli.hset("outrigger:disabled", field ?? "", value ?? "");
    await redis.cli.publish("outrigger:disabled", "");
    await one.line(({ msg }) => String(msg).startsWith("kill switches in Redis cannot be read"));
    assert.equal((await ask(one)).status, 401);
  });
});

describe("a hash that somebody else fills", () => {
  test("costs a sidecar nothing for a large value, and hides no switch", async () => {
    await disable("auth", "--accept-open-routes");
    const large = "x".repeat(48 * 1_048_576);
    await redis.cli.hset("outrigger:disabled", "junk", large, large.slice(0, 10_000_000), "");
    const one = await sidecar();
    await one.line(({ fields }) => Array.isArray(fields) && fields.includes("junk"));
    assert.equal((await ask(one)).status, 200);
    const { stdout, stderr } = await run("list");
    assert.match(stdout, /^auth .*left out$/m);
    assert.match(stderr, /no sidecar can read the kill switch "junk"/);
    assert.ok(stderr.length < 2_000, String(stderr.length));
    const heard = Number(/cmdstat_hget:calls=(\d+)/.exec(await redis.cli.info("commandstats"))?.[1]);
    assert.ok(heard > 0 && !(await redis.cli.info("commandstats")).includes("cmdstat_hgetall"));
  });

  test("is told of by sidecars and commands when it is more than switches can be, or no hash", async () => {
    const one = await sidecar();
    const fields = Array.from({ length: 5_000 }, (_, i) => [`junk-${i} * *`, "{}"]).flat();
    await redis.cli.hset("outrigger:disabled", ...fields);
    await redis.cli.publish("outrigger:disabled", "");
    const line = await one.line(({ msg }) => String(msg).startsWith("kill switches cannot be read"));
    assert.match(String(line["msg"]), /outrigger:disabled holds more than .*: DEL it/);
    assert.match(await one.metrics(), /outrigger_kill_switches_unread(?:\{[^}]*\})? 1/);
    for (const args of [["list"], ["disable", "cors", "--reason", "x"]]) {
      const { code, stderr } = await run(...args);
      assert.equal(code, 1);
      assert.match(stderr, /^no sidecar reads kill switches now: outrigger:disabled holds more/);
    }
    await redis.cli.set("outrigger:disabled", "x");
    assert.match((await run("list")).stderr, /outrigger:disabled is no hash: DEL it/);
    await redis.cli.del("outrigger:disabled");
    await disable("auth", "--accept-open-routes");
    await soon(async () => assert.equal((await ask(one)).status, 200), 5_000);
    assert.match(await one.metrics(), /outrigger_kill_switches_unread(?:\{[^}]*\})? 0/);
  });

  test("makes room for a switch by what no sidecar honours", async () => {
    const fields = Array.from({ length: 254 }, (_, i) => [`junk-${i}`, "off"]).flat();
    await redis.cli.hset("outrigger:disabled", ...fields, "y".repeat(9_000), "");
    await redis.cli.hset("outrigger:disabled", Buffer.from([255, 254]), Buffer.from([255]));
    await redis.cli.hset("outrigger:disabled", "auth * /x", "z".repeat(9_000));
    await disable("cors");
    assert.deepEqual(await redis.cli.hkeys("outrigger:disabled"), ["cors * *"]);
  });
});

describe("the commands", () => {
  test("list what is off: where, how long, who, why", async () => {
    await disable("cache", "--service", "orders", "--ttl", "1h");
    const { stdout } = await run("list");
    assert.match(stdout, /auth +\d+\.\d+\.\d+ +10 +yes/);
    assert.match(stdout, /cache +orders +all +3\d\d\ds +ada +it leaks +left out/);
    const { disabled } = JSON.parse((await run("list", "--json")).stdout) as { disabled: unknown[] };
    assert.equal(disabled.length, 1);
  });

  test("refuse what they cannot mean, in one line", async () => {
    for (const [args, code, text] of [
      [["disable", "aut", "--reason", "x"], 2, /no plugin "aut": did you mean auth\?/],
      [["disable", "auth"], 2, /--reason/],
      [["disable", "auth", "--reason", " "], 2, /--reason takes/],
      [["disable", "auth", "--reason", "x", "--ttl", "soon"], 2, /--ttl takes/],
      [["disable", "auth", "--reason", "x", "--route", "api"], 2, /--route takes/],
      [["disable", "cors", "--reason", "x", "--accept-open-routes"], 2, /decide who gets in/],
      [["disable", "auth", "--reason", "x", "--key", "f"], 2, /--key goes with a --ttl/],
      [["enable", "aut"], 2, /^there is no plugin "aut": did you mean auth\?$/m],
      [["enable", "constructor"], 2, /^there is no plugin "constructor"$/m],
      [["disable", "constructor", "--reason", "x"], 2, /^there is no plugin "constructor"$/m],
      [["enable", "auth"], 1, /no kill switch takes auth out at every service/],
    ] as const) {
      const { code: got, stderr } = await run(...args);
      assert.equal(got, code, stderr);
      assert.match(stderr, text);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    }
  });

  test("know plugins that are not built in by the sidecars that have them", async () => {
    const geo = pluginWith("geo", {
      onResponse: (_exchange, response) => response.fields.set("x-geo", "on"),
      health: () => "no map",
    });
    await redis.cli.set("outrigger:policy", JSON.stringify({ ...policy, plugins: ["geo"] }));
    const started = await startSidecar({
      upstream: service,
      redisUrl: redis.url,
      plugins: [geo],
      env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_INSTANCE: "orders-1" },
    });
    sidecars.push(started);
    const fieldOf = async (): Promise<string | null> => (await fetch(started.url)).headers.get("x-geo");
    await eventually("it is listed", async () =>
      /^geo +1\.0\.0 +1 +1: no map$/m.test((await run("list")).stdout),
    );
    assert.equal(await fieldOf(), "on");
    // Nobody here knows whether it decides who gets in: no route is opened unasked.
    const { code, stdout } = await run("disable", "geo", "--reason", "x", "--json");
    assert.deepEqual([code, (JSON.parse(stdout) as { openRoutes: boolean }).openRoutes], [0, false]);
    await eventually("it is off", async () => (await fieldOf()) === null);
    const none = await run("disable", "geo-fence", "--reason", "x");
    assert.deepEqual([none.code, none.stderr.trim()], [2, 'there is no plugin "geo-fence"']);
  });

  test("set nothing that sidecars would ignore, where policies are signed", async () => {
    const key = join(folder, "policy.key");
    const keys = (await outrigger(["policy", "keygen", key])).stdout;
    const other = join(folder, "other.key");
    await outrigger(["policy", "keygen", other]);
    const signing = (...args: string[]) =>
      outrigger(["plugins", ...args], { REDIS_URL: redis.url, OUTRIGGER_POLICY_KEYS: keys });
    const off = (...args: string[]) => signing("disable", "cache", "--reason", "x", "--ttl", "1h", ...args);
    assert.match((await off()).stderr, /ignore a kill switch that is not signed/);
    assert.match((await off("--key", other)).stderr, /not a key that counts/);
    assert.equal((await off("--key", key)).code, 0);
    // Whoever has not the setting replaces no signed one.
    const bare = await run("disable", "cache", "--reason", "longer", "--ttl", "2h");
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /a signed kill switch stands there/);
    await disable("cors");
    const { stdout } = await signing("list");
    assert.match(stdout, /^cache .*left out$/m);
    assert.match(stdout, /^cors .*none: not signed by a key that counts$/m);
  });
});
