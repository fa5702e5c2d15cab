// A Redis that gives false change messages or none: policies are enforced all the same.
import assert from "node:assert/strict";
import { type Lie, type LyingRedis, startLyingRedis } from "../../support/lying-redis.ts";
import { eventually, type RedisServer } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Scenario } from "../scenario.ts";

interface Watching {
  readonly redis: RedisServer;
  readonly proxy: LyingRedis;
  readonly sidecar: TestSidecar;
}

let marks = 0;
async function setPolicy(redis: RedisServer): Promise<string> {
  const mark = `mark-${++marks}`;
  const document = {
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  };
  await redis.cli.set("outrigger:policy", JSON.stringify(document));
  return mark;
}

/** @returns milliseconds from SET to enforcement */
async function enforcedAfterMs({ redis, sidecar }: Watching, limitMs = 20_000): Promise<number> {
  const mark = await setPolicy(redis);
  const startedMono = performance.now();
  const isMarked = async (): Promise<boolean> => (await fetch(sidecar.url)).headers.get("x-mark") === mark;
  await eventually(mark, isMarked, limitMs);
  return Math.round(performance.now() - startedMono);
}

async function watching(scene: Scene, lies: Lie[] = [], user = ""): Promise<Watching> {
  const redis = await scene.redis();
  if (user !== "") {
    await redis.cli.call("ACL", "SETUSER", "side", "on", ">car", "~*", "&*", "+@all", ...user.split(" "));
  }
  const proxy = await startLyingRedis(redis.port, lies);
  scene.after(() => proxy.close());
  await setPolicy(redis);
  const redisUrl = user === "" ? proxy.url : proxy.url.replace("//", "//side:car@");
  const sidecar = await scene.sidecar({
    redisUrl,
    upstream: (_request, response) => void response.end("the service"),
  });
  return { redis, proxy, sidecar };
}

interface Told {
  readonly polledBecause: string | null;
  readonly detail: string;
  readonly metric: string;
}

async function toldBy({ sidecar }: Watching): Promise<Told> {
  const { polledBecause } = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as Told;
  const detail = await (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
  const metric = /outrigger_redis_watch_up\{[^}]*\} (\d)/.exec(await sidecar.metrics())?.[1] ?? "";
  return { polledBecause, detail, metric };
}

/** Checks the promise for a failed watch: the sidecar polls each second, and reports why. */
async function polls(all: Watching, why: RegExp): Promise<string> {
  await eventually("it is said", async () => why.test(String((await toldBy(all)).polledBecause)), 5_000);
  const { detail, metric } = await toldBy(all);
  assert.match(detail, why);
  assert.equal(metric, "0");
  await all.sidecar.line(
    ({ msg, reason }) => /polling for changes every second/.test(String(msg)) && why.test(String(reason)),
  );
  const waits: number[] = [];
  for (let change = 0; change < 4; change++) waits.push(await enforcedAfterMs(all));
  assert.ok(Math.max(...waits) < 2_000, `${waits.join(", ")} ms`);
  return `in force after ${waits.join(", ")} ms by polling; reason in /policy, readiness, log and metric`;
}

async function holds({ sidecar }: Watching): Promise<void> {
  const metric = async (): Promise<string> => sidecar.metrics();
  await eventually("the watch holds", async () => /outrigger_redis_watch_up\{[^}]*\} 1/.test(await metric()));
}

const lied = ([what, lie]: readonly [string, Omit<Lie, "command">]): Scenario => ({
  group: "redis",
  fault: `SUBSCRIBE is answered with ${what} for four seconds (F11)`,
  promised: "policies in force within two seconds meanwhile, at once afterwards",
  async run(scene) {
    const all = await watching(scene, [{ command: "SUBSCRIBE", ...lie }]);
    const endsMono = performance.now() + 4_000;
    const during: number[] = [];
    while (performance.now() < endsMono) during.push(await enforcedAfterMs(all));
    assert.ok(Math.max(...during) < 2_000, `${during.join(", ")} ms`);
    all.proxy.lies = [];
    await holds(all);
    const after = await enforcedAfterMs(all);
    assert.ok(after < 500, `${after} ms afterwards`);
    return `${during.join(", ")} ms meanwhile, ${after} ms afterwards`;
  },
});

export const scenarios: readonly Scenario[] = [
  ...(
    [
      ["an empty array", { reply: "*0\r\n" }],
      ["null", { reply: "$-1\r\n" }],
      ["a number", { reply: ":1\r\n" }],
      ["nothing", { drop: true }],
    ] as const
  ).map(lied),
  {
    group: "redis",
    fault: "change messages stop, the connection stands (F11)",
    promised: "found out within four seconds, policies by polling meanwhile, at once when they come again",
    async run(scene) {
      const all = await watching(scene);
      await holds(all);
      all.proxy.muted = true;
      const first = await enforcedAfterMs(all);
      assert.ok(first < 5_000, `${first} ms`);
      const seen = await polls(all, /change messages do not come/);
      all.proxy.muted = false;
      await holds(all);
      const after = await enforcedAfterMs(all);
      assert.ok(after < 500, `${after} ms afterwards`);
      return `first ${first} ms, then ${seen}; ${after} ms afterwards`;
    },
  },
  ...(
    [
      ["CLIENT TRACKING", "-client|tracking"],
      ["SUBSCRIBE", "-subscribe"],
      ["channels", "resetchannels"],
    ] as const
  ).map(([what, rule]): Scenario => ({
    group: "redis",
    fault: `the Redis user has no right to ${what} (F24)`,
    promised: "a poll each second; the missing right named in log, /policy, readiness",
    async run(scene) {
      return polls(await watching(scene, [], rule), /^Redis refuses .* \(NOPERM\): grant |redis.*grant /);
    },
  })),
  {
    group: "redis",
    fault: "the Redis user has no right to INFO (F24)",
    promised: "connects, changes are told at once, the missing right is logged",
    async run(scene) {
      const all = await watching(scene, [], "-info");
      await holds(all);
      await all.sidecar.line(({ reason }) => String(reason).startsWith("Redis refuses INFO"));
      const elapsedMs = await enforcedAfterMs(all);
      assert.ok(elapsedMs < 500, `${elapsedMs} ms`);
      return `in force after ${elapsedMs} ms`;
    },
  },
];
