// Policies of thousands of routes come and go under load.
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { largePolicy } from "../../support/large-policy.ts";
import { eventually } from "../../support/redis.ts";
import type { Scenario } from "../scenario.ts";

const changes = 10;
const text = (count: number, mark: string): string => JSON.stringify(largePolicy(count + 1, mark));
const residentMiB = (): number => Math.round(process.memoryUsage.rss() / 1_048_576);

export const scenarios: readonly Scenario[] = [
  {
    group: "policy",
    fault: "ten changes between 9,000 routes and five, under load (F10)",
    promised: "no request fails, 99 of 100 within 300 ms, memory comes back (at most 1.5 times that before)",
    async run(scene) {
      // The image and `npm start` have this flag on their command line.
      setFlagsFromString("--expose-gc");
      globalThis.gc = runInNewContext("gc") as NodeJS.GCFunction;
      const redis = await scene.redis();
      await redis.cli.set("outrigger:policy", text(5, "first"));
      const sidecar = await scene.sidecar({
        redisUrl: redis.url,
        upstream: (_request, response) => void response.end("the service"),
      });
      const over = new AbortController();
      const waits: number[] = [];
      const asking = (async () => {
        while (!over.signal.aborted) {
          const startedMono = performance.now();
          const response = await fetch(`${sidecar.url}/api/service-3/items/1`);
          await response.arrayBuffer();
          assert.equal(response.status, 200);
          waits.push(performance.now() - startedMono);
        }
      })();
      await eventually("warm", () => waits.length > 2_000);
      globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" });
      const before = residentMiB();
      waits.length = 0;
      let peak = 0;
      for (let change = 1; change <= changes; change++) {
        const mark = `mark-${change}`;
        await redis.cli.set("outrigger:policy", text(change % 2 === 0 ? 5 : 9_000, mark));
        const isMarked = async (): Promise<boolean> =>
          (await fetch(sidecar.url)).headers.get("x-mark") === mark;
        await eventually(mark, isMarked, 20_000);
        peak = Math.max(peak, residentMiB());
      }
      over.abort();
      await asking;
      await eventually("memory comes back", () => residentMiB() <= before * 1.5, 5_000);
      const sorted = waits.toSorted((a, b) => a - b);
      const p99 = Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? 0);
      assert.ok(p99 < 300, `p99 ${p99} ms`);
      return `p99 ${p99} ms, longest ${Math.round(sorted.at(-1) ?? 0)} ms; ${before} MiB before, ${peak} at most, ${residentMiB()} after`;
    },
  },
];
