// Shared policies and services' layers that conflict with each other.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Scenario } from "../scenario.ts";

const text = (members: object): string => JSON.stringify({ apiVersion: "outrigger/v1", ...members });
const locking = text({ plugins: ["logging", "auth"], locked: ["auth"] });

async function ordersSidecar(scene: Scene, env: Record<string, string> = {}): Promise<TestSidecar> {
  const { url } = await scene.redis();
  return scene.sidecar({
    redisUrl: url,
    upstream: (_request, response) => void response.end("the service"),
    env: { OUTRIGGER_SERVICE: "orders", ...env },
  });
}

const statusOf = async (sidecar: TestSidecar): Promise<number> => (await fetch(sidecar.url)).status;

async function enforcedAfterMs(sidecar: TestSidecar): Promise<number> {
  const startedMono = performance.now();
  await eventually("401 without credentials", async () => (await statusOf(sidecar)) === 401, 5_000);
  return Math.round(performance.now() - startedMono);
}

async function assertTold(sidecar: TestSidecar): Promise<void> {
  const policy = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as {
    overruled: unknown[];
    lastError: unknown;
  };
  assert.equal(policy.overruled.length, 1);
  assert.equal(policy.lastError, null);
  assert.match(await sidecar.metrics(), /outrigger_policy_overruled\{[^}]*\} 1/);
  await sidecar.line(({ msg }) => String(msg).startsWith("the service's layer does not fit"));
}

export const scenarios: readonly Scenario[] = [
  {
    group: "policy",
    fault: "a new shared policy locks auth, which a standing layer drops (F9)",
    promised: "in force within a second, with the lock; told; after a restart and in new pods too",
    async run(scene) {
      const redis = await scene.redis();
      const dir = mkdtempSync(join(tmpdir(), "outrigger-state-"));
      scene.after(() => rmSync(dir, { recursive: true, force: true }));
      await redis.cli.set("outrigger:policy", text({ plugins: ["logging"] }));
      await redis.cli.set("outrigger:policy:orders", text({ plugins: ["logging", "transform"] }));
      const sidecar = await ordersSidecar(scene, { OUTRIGGER_STATE_DIR: dir });
      assert.equal(await statusOf(sidecar), 200);
      await redis.cli.set("outrigger:policy", locking);
      const elapsedMs = await enforcedAfterMs(sidecar);
      assert.ok(elapsedMs < 1_000, `${elapsedMs} ms`);
      await assertTold(sidecar);
      await eventually("the heartbeat tells", async () => {
        const beats = await redis.cli.keys("outrigger:fleet:orders:*");
        const beat = beats[0] === undefined ? null : await redis.cli.get(beats[0]);
        return beat?.includes('"overruled":{"count":1') ?? false;
      });
      await sidecar.stop();
      for (const env of [{ OUTRIGGER_STATE_DIR: dir }, {}]) {
        const started = await ordersSidecar(scene, env);
        assert.equal(await statusOf(started), 401);
        assert.equal((await fetch(`${started.adminUrl}/readyz`)).status, 200);
        await assertTold(started);
      }
      return `401 after ${elapsedMs} ms, after a restart and in a new pod at once; in /policy, heartbeat, metric and log`;
    },
  },
  {
    group: "policy",
    fault: "a layer that is not JSON, and then a shared policy that locks auth",
    promised: "the layer is refused, the shared policy in force over the layer before it",
    async run(scene) {
      const redis = await scene.redis();
      await redis.cli.set("outrigger:policy", text({ plugins: ["logging"] }));
      const sidecar = await ordersSidecar(scene);
      await redis.cli.set("outrigger:policy:orders", "<html>");
      await sidecar.line(({ msg }) => msg === "policy refused; the one in force stays");
      await redis.cli.set("outrigger:policy", locking);
      const elapsedMs = await enforcedAfterMs(sidecar);
      const { lastError } = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as {
        lastError: { problems: { document: string }[] };
      };
      assert.equal(lastError.problems[0]?.document, "outrigger:policy:orders");
      return `401 after ${elapsedMs} ms; lastError names outrigger:policy:orders`;
    },
  },
  {
    group: "policy",
    fault: "a new layer that drops what a standing lock holds",
    promised: "refused whole; what is in force stays",
    async run(scene) {
      const redis = await scene.redis();
      await redis.cli.set("outrigger:policy", locking);
      const sidecar = await ordersSidecar(scene);
      await redis.cli.set("outrigger:policy:orders", text({ plugins: ["logging"] }));
      await sidecar.line(({ msg }) => msg === "policy refused; the one in force stays");
      assert.equal(await statusOf(sidecar), 401);
      return "401 as before, refusal logged";
    },
  },
];
