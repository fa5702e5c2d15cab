// Rate limits while Redis is away, full, or read-only.
import assert from "node:assert/strict";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Scenario } from "../scenario.ts";

const limits = [{ name: "caller", by: "ip", limit: 600, window: "1m", mode: "exact" }];
const policy = {
  plugins: ["rate-limit"],
  pluginConfig: { "rate-limit": { limits, overload: { enabled: false } } },
};

async function fleetOf(scene: Scene, count: number): Promise<TestSidecar[]> {
  const redis = await scene.redis();
  const sidecars: TestSidecar[] = [];
  for (let i = 0; i < count; i += 1) {
    sidecars.push(
      await scene.sidecar({
        policy,
        upstream: (_request, response) => response.end("ok"),
        redisUrl: redis.url,
        env: { OUTRIGGER_INSTANCE: `s${i}` },
      }),
    );
  }
  await eventually("all are alive", async () => (await redis.cli.zcard("outrigger:live:default")) === count);
  return sidecars;
}

/**
 * Sends requests to all sidecars in turn for that long.
 * @returns how many were admitted
 */
async function ask(sidecars: readonly TestSidecar[], forMs: number): Promise<number> {
  const endAt = performance.now() + forMs;
  let admitted = 0;
  while (performance.now() < endAt) {
    const answers = await Promise.all(sidecars.map(({ url }) => fetch(url).then(({ status }) => status)));
    admitted += answers.filter((status) => status === 200).length;
  }
  return admitted;
}

export const scenarios: readonly Scenario[] = [
  {
    group: "redis",
    fault: "Redis dies for 6 s before 4 sidecars whose caller has used its burst, and comes back empty",
    promised: "the caller gets what the time brings and no second burst, neither meanwhile nor afterwards",
    async run(scene) {
      const redis = await scene.redis();
      const sidecars = await fleetOf(scene, 4);
      // Long enough for each sidecar to learn how many sidecars there are.
      const before = await ask(sidecars, 7_000);
      await redis.kill();
      const startedAt = performance.now();
      const meanwhile = await ask(sidecars, 6_000);
      await redis.restart();
      const afterwards = await ask(sidecars, 4_000);
      const due = ((performance.now() - startedAt) / 60_000) * 600;
      const seen = `${before} admitted before, ${meanwhile} meanwhile, ${afterwards} afterwards; ${Math.round(due)} were due`;
      assert.ok(meanwhile + afterwards <= due * 1.3 + 20, seen);
      return seen;
    },
  },
  {
    group: "redis",
    fault: "Redis is full (noeviction) and refuses every write",
    promised: "told in log, metric and readiness detail; limits hold by each sidecar's share; over by itself",
    async run(scene) {
      const redis = await scene.redis();
      const [sidecar] = (await fleetOf(scene, 1)) as [TestSidecar];
      await redis.cli.config("SET", "maxmemory-policy", "noeviction");
      await redis.cli.config("SET", "maxmemory", "1");
      const admitted = await ask([sidecar], 3_000);
      assert.ok(admitted <= 700, `${admitted} admitted`);
      await sidecar.line(({ msg }) => String(msg).startsWith("Redis: refuses writes"));
      const metrics = await sidecar.metrics();
      assert.match(metrics, /outrigger_redis_writable\{[^}]*\} 0/);
      assert.match(metrics, /outrigger_rate_limit_local_total\{[^}]*\} [1-9]/);
      const ready = await (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
      assert.match(ready, /refuses writes: OOM/);
      await redis.cli.config("SET", "maxmemory", "0");
      await sidecar.line(({ msg }) => String(msg) === "Redis: accepts writes again");
      return `told; ${admitted} of a burst of 600 admitted; over after the memory was there`;
    },
  },
];
