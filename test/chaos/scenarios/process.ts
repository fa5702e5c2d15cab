// Faults of processes: workers that die and hang, signals, a primary that is gone, floods of policies.
import assert from "node:assert/strict";
import type http from "node:http";
import { Client, lives, startCrew, startService, type TestCrew } from "../../support/crew.ts";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

const marked = (mark: string): Record<string, unknown> => ({
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
});

async function startWorkers(scene: Scene, workers: number): Promise<TestCrew> {
  const service: http.Server & { url: string } = await startService((_request, response) =>
    response.end("ok"),
  );
  scene.after(() => (service.closeAllConnections(), service.close()));
  const crew = await startCrew({ workers, policy: marked("one"), upstream: service.url });
  scene.after(() => crew.child.kill("SIGKILL"));
  return crew;
}

/** Sends requests on that many connections, over and over, until it is stopped. */
function load(crew: TestCrew, connections: number): { stop(): Promise<{ good: number; bad: number }> } {
  const stopping = new AbortController();
  let good = 0;
  let bad = 0;
  const lane = async (): Promise<void> => {
    let client = new Client(crew.url);
    while (!stopping.signal.aborted) {
      try {
        const { status } = await client.get("/");
        if (status === 200) good += 1;
        else bad += 1;
      } catch {
        bad += 1;
        client.close();
        client = new Client(crew.url);
      }
    }
    client.close();
  };
  const lanes = Array.from({ length: connections }, lane);
  return {
    async stop() {
      stopping.abort();
      await Promise.all(lanes);
      return { good, bad };
    },
  };
}

export const scenarios: readonly Scenario[] = [
  {
    group: "process",
    fault: "one of two workers is killed under load",
    promised: "only its own exchanges fail; another takes its place",
    async run(scene) {
      const crew = await startWorkers(scene, 2);
      const running = load(crew, 16);
      await eventually("requests run", async () => (await crew.metric("outrigger_requests_total")) > 200);
      process.kill([...crew.pids().values()][0] as number, "SIGKILL");
      await crew.until(3, ({ msg }) => msg === "worker is serving");
      const { good, bad } = await running.stop();
      assert.ok(bad <= 16, `${bad} failed`);
      return `${bad} of ${good + bad} requests failed, on its connections; replaced`;
    },
  },
  {
    group: "process",
    fault: "one of two workers hangs while the policy changes",
    promised: "the other has the new policy in seconds; the one that hangs is replaced",
    async run(scene) {
      const crew = await startWorkers(scene, 2);
      const [hanging] = [...crew.pids().values()] as [number];
      process.kill(hanging, "SIGSTOP");
      const startedMono = performance.now();
      crew.setPolicy(marked("two"));
      await crew.until(1, ({ msg }) => msg === "worker does not respond; applying the new policy without it");
      const wentOnMs = Math.round(performance.now() - startedMono);
      await crew.until(3, ({ msg }) => msg === "worker is serving");
      const client = new Client(crew.url);
      assert.equal((await client.get("/")).fields["x-mark"], "two");
      client.close();
      return `in force after ${wentOnMs} ms, replaced after ${Math.round(performance.now() - startedMono)} ms`;
    },
  },
  {
    group: "process",
    fault: "the primary of two workers is killed",
    promised: "its workers end too: nobody serves a policy that nobody watches",
    async run(scene) {
      const crew = await startWorkers(scene, 2);
      const pids = [...crew.pids().values()];
      crew.child.kill("SIGKILL");
      await eventually("they are gone", () => pids.every((pid) => !lives(pid)));
      return "both workers ended";
    },
  },
  {
    group: "process",
    fault: "a hundred policy changes under load",
    promised: "no request fails, each is served by one policy",
    async run(scene) {
      const crew = await startWorkers(scene, 2);
      const running = load(crew, 8);
      for (let i = 0; i < 100; i += 1) {
        crew.setPolicy(marked(`m${i}`));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const client = new Client(crew.url);
      await eventually(
        "the last is in force",
        async () => (await client.get("/")).fields["x-mark"] === "m99",
      );
      client.close();
      const { good, bad } = await running.stop();
      assert.equal(bad, 0);
      return `${good} of ${good} requests served`;
    },
  },
];
