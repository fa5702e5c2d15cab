// A machine that is too busy, a Redis that pauses: requests that need nothing from Redis are not affected.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Counted {
  readonly answers: Map<number, number>;
  readonly states: string[];
}

/** Sends requests with a key that Redis has confirmed, while `fault` is going on. */
async function known(scene: Scene, fault: () => Promise<void>): Promise<Counted> {
  const redis = await scene.redis();
  const document = { apiVersion: "outrigger/v1", plugins: ["logging", "auth", "transform"] };
  await redis.cli.set("outrigger:policy", JSON.stringify(document));
  const record = { id: "k1", userId: "u1", scopes: [] };
  await redis.cli.set(`outrigger:apikey:${keyDigest("a-key")}`, JSON.stringify(record));
  const sidecar = await scene.sidecar({
    redisUrl: redis.url,
    upstream: (_request, response) => void response.end("the service"),
  });
  const ask = async (): Promise<number> => {
    const response = await fetch(sidecar.url, { headers: { "x-api-key": "a-key" } });
    await response.arrayBuffer();
    return response.status;
  };
  // Three prefixes: policy, apikey:, and the scratch key.
  await eventually("changes are told", async () =>
    (await redis.cli.info("stats")).includes("tracking_total_prefixes:3"),
  );
  // Once the watch is armed, every key becomes unconfirmed once more.
  await wait(500);
  await eventually("the key is known", async () => (await ask()) === 200);
  const answers = new Map<number, number>();
  const over = new AbortController();
  const asking = Array.from({ length: 8 }, async () => {
    while (!over.signal.aborted) {
      const status = await ask();
      answers.set(status, (answers.get(status) ?? 0) + 1);
    }
  });
  await fault();
  over.abort();
  await Promise.all(asking);
  return {
    answers,
    states: sidecar.lines.map(({ msg }) => String(msg)).filter((msg) => /out of reach/.test(msg)),
  };
}

function onlyGood({ answers, states }: Counted): string {
  assert.deepEqual([...answers.keys()], [200], JSON.stringify([...answers]));
  return `${answers.get(200)} answers, all 200; Redis called out of reach ${states.length} times`;
}

export const scenarios: readonly Scenario[] = [
  {
    group: "process",
    fault: "twelve processes take the CPU for five seconds (F16)",
    promised: "requests with a known key are answered; Redis is not called dead",
    async run(scene) {
      const counted = await known(scene, async () => {
        const hogs = Array.from({ length: 12 }, () => spawn(process.execPath, ["-e", "for (;;);"]));
        scene.after(() => hogs.forEach((hog) => hog.kill("SIGKILL")));
        await wait(5_000);
        hogs.forEach((hog) => hog.kill("SIGKILL"));
      });
      return onlyGood(counted);
    },
  },
  {
    group: "redis",
    fault: "Redis pauses for one second (F16)",
    promised: "requests with a known key are answered meanwhile",
    async run(scene) {
      const redis = await scene.redis();
      const counted = await known(scene, async () => {
        redis.freeze();
        await wait(1_000);
        redis.thaw();
        await wait(500);
      });
      return onlyGood(counted);
    },
  },
];
