// Measures everything other than CPU under full load: memory of connections and at a steady rate, latency, start, and
// the time until a policy is in force.
import { setTimeout as later } from "node:timers/promises";
import { Agent, get } from "node:http";
import { Redis } from "ioredis";
import { type ContenderName, type RunningSidecar, startSidecar } from "./contenders.ts";
import { runLoad, startGenerator } from "./load.ts";
import { type Bench, inRounds, isValid, warmUp, withContenders } from "./measure.ts";
import { type PolicyName, policyOf } from "./policies.ts";
import { cpuMs, pause, rssMiB } from "./processes.ts";
import type { LoadResult, Traffic } from "./requests.ts";

const idleConnections = 1_000;

/** Measures idle memory, memory with 1000 open connections that have each sent one request, and the difference. */
export async function measureIdleConnections(
  scenario: string,
  names: readonly ContenderName[],
  bench: Bench,
): Promise<void> {
  const { results, scene, tools } = bench;
  const traffic: Traffic = {
    kind: "idle",
    connections: idleConnections,
    path: "/",
    tokens: scene.callers.tokens,
  };
  await withContenders(scenario, names, bench, async (contenders) => {
    await pause(1_000);
    for (const { name, pid } of contenders) results.add(scenario, name, "idleRssMiB", rssMiB(pid), 0);
    for (const contender of contenders) {
      const generator = startGenerator(traffic, contender.port, 0, tools);
      await generator.said(/open/u);
      await pause(1_000);
      const resident = rssMiB(contender.pid);
      generator.endInput();
      const load = JSON.parse((await generator.end).replace("open", "")) as LoadResult;
      if (!isValid(scenario, contender, load, bench)) continue;
      results.add(scenario, contender.name, "rssMiB", resident, 0);
      bench.say(`${scenario}: ${contender.name}: ${resident.toFixed(1)} MiB`);
    }
  });
}

/** Measures the peak memory at 1000 requests a second, and the CPU once V8 has compiled everything. */
export async function measurePaced(
  scenario: string,
  names: readonly ContenderName[],
  bench: Bench,
): Promise<void> {
  const { results, scene, tools, quick } = bench;
  const windows = { results, rounds: quick ? 1 : 3 };
  const traffic: Traffic = {
    kind: "open",
    rate: 1_000,
    connections: 0,
    path: "/cacheable",
    everyUrlNew: true,
    tokens: scene.callers.tokens,
  };
  await withContenders(scenario, names, bench, async (contenders) => {
    for (const { port } of contenders) {
      await warmUp({ ...traffic, kind: "closed", connections: 32 }, port, bench);
    }
    await inRounds({ scenario, start: 0 }, contenders, windows, async (contender, round) => {
      let most = 0;
      const sampler = setInterval(() => (most = Math.max(most, rssMiB(contender.pid))), 100);
      // Wakes the contender, which was idle while the others had their turn.
      await runLoad(traffic, contender.port, 1, tools);
      const before = cpuMs(contender.pid);
      const load = await runLoad(traffic, contender.port, 5, tools);
      const cpuUs = ((cpuMs(contender.pid) - before) * 1000) / load.requests;
      clearInterval(sampler);
      if (!isValid(scenario, contender, load, bench)) return;
      results.add(scenario, contender.name, "rssMiB", most, round);
      results.add(scenario, contender.name, "pacedCpuUs", cpuUs, round);
      bench.say(`${scenario}: ${contender.name}: ${most.toFixed(1)} MiB, ${cpuUs.toFixed(0)} µs`);
    });
  });
}

/**
 * Measures latency at 300 requests a second, sent by the clock whatever the answers do. Contenders take turns in
 * windows.
 */
export async function measureLatency(
  scenario: string,
  names: readonly ContenderName[],
  bench: Bench,
): Promise<void> {
  const { results, scene, tools, quick } = bench;
  const windows = { results, rounds: quick ? 5 : 7 };
  const traffic: Traffic = {
    kind: "open",
    rate: 300,
    connections: 0,
    path: "/cacheable",
    everyUrlNew: true,
    tokens: scene.callers.tokens,
  };
  await withContenders(scenario, names, bench, async (contenders) => {
    for (const { port } of contenders) {
      await warmUp({ ...traffic, kind: "closed", connections: 8 }, port, bench);
    }
    await inRounds({ scenario, start: 0 }, contenders, windows, async (contender, round) => {
      const load = await runLoad(traffic, contender.port, 3, tools);
      if (!isValid(scenario, contender, load, bench)) return;
      const { p50Ms = 0, p99Ms = 0 } = load;
      results.add(scenario, contender.name, "p50Ms", p50Ms, round);
      results.add(scenario, contender.name, "p99Ms", p99Ms, round);
      bench.say(`${scenario}: ${contender.name}: p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`);
    });
  });
}

/** Measures the time from spawn to the first 200 of /readyz, on all cores. */
export async function measureStart(
  scenario: string,
  names: readonly `outrigger: ${PolicyName}`[] | readonly ContenderName[],
  bench: Bench,
): Promise<void> {
  const { results, scene, quick } = bench;
  for (let round = 0; round < (quick ? 5 : 11); round += 1) {
    for (const name of names) {
      const policy = policyOf(name.slice("outrigger: ".length) as PolicyName, scene.callers);
      const sidecar = await startSidecar(policy, scene, scene.cores.all);
      await sidecar.stop();
      results.add(scenario, name, "ms", sidecar.readyMs, round);
      bench.say(`${scenario}: ${name}: ${sidecar.readyMs.toFixed(0)} ms`);
    }
  }
}

/**
 * Measures what a second worker brings. Both have all cores, and share them with load and service, so they lose the CPU
 * that these need.
 */
export async function measureWorkers(scenario: string, bench: Bench): Promise<void> {
  const { results, scene, seconds, tools } = bench;
  const traffic: Traffic = {
    kind: "closed",
    connections: 64,
    path: "/cacheable",
    everyUrlNew: true,
    tokens: scene.callers.tokens,
  };
  const policy = policyOf("full chain", scene.callers);
  const started: (RunningSidecar & { name: ContenderName })[] = [];
  try {
    for (const workers of ["1", "2"] as const) {
      const sidecar = await startSidecar(policy, scene, scene.cores.all, { OUTRIGGER_WORKERS: workers });
      started.push({ ...sidecar, name: `outrigger: full chain, workers: ${workers}` });
    }
    for (const { port } of started) await warmUp(traffic, port, bench);
    await inRounds({ scenario, start: 0 }, started, bench, async ({ name, pid, port }, round) => {
      const before = cpuMs(pid);
      const load = await runLoad(traffic, port, seconds, tools);
      if (!isValid(scenario, { name }, load, bench)) return;
      results.add(scenario, name, "cpuUs", ((cpuMs(pid) - before) * 1000) / load.requests, round);
      results.add(scenario, name, "requestsPerSecond", load.requests / seconds, round);
      results.add(scenario, name, "rssMiB", rssMiB(pid), round);
      bench.say(`${scenario}: ${name}: ${(load.requests / seconds).toFixed(0)} requests/s`);
    });
  } finally {
    await Promise.all(started.map((sidecar) => sidecar.stop()));
  }
}

const changes = 200;

/** Measures the time from the `SET` to the first answer under the new policy, with requests without a pause. */
export async function measurePolicyChange(scenario: string, bench: Bench): Promise<void> {
  const { results, scene } = bench;
  const { document } = policyOf("logging+cors+transform", scene.callers);
  const policyAt = (revision: number): string =>
    JSON.stringify({
      ...document,
      pluginConfig: { transform: { addResponseHeaders: { "X-Revision": String(revision) } } },
    });
  const sidecar = await startSidecar({ document, needsRedis: true }, scene);
  const redis = new Redis(sidecar.redisUrl ?? "", { protocol: 2 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  try {
    for (let revision = 1; revision <= changes; revision += 1) {
      const began = performance.now();
      await redis.set("outrigger:policy", policyAt(revision));
      while ((await revisionInForce(sidecar.port, agent)) !== String(revision)) {
        if (performance.now() - began > 5_000)
          throw new Error(`revision ${revision} not enforced within 5 s`);
      }
      times.push(performance.now() - began);
      // Changes must not run in step with any timer of the sidecar.
      await later(Math.random() * 20);
    }
  } finally {
    redis.disconnect();
    agent.destroy();
    await sidecar.stop();
  }
  times.sort((a, b) => a - b);
  const name = "outrigger: logging+cors+transform";
  results.add(scenario, name, "p50Ms", times[changes / 2] as number, 0);
  results.add(scenario, name, "p99Ms", times[Math.ceil(changes * 0.99) - 1] as number, 0);
  bench.say(`${scenario}: p50 ${times[changes / 2]?.toFixed(1)} ms, most ${times.at(-1)?.toFixed(1)} ms`);
}

/** Rejects if the answer is not 200: a change must not cost a request. */
function revisionInForce(port: number, agent: Agent): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get({ port, host: "127.0.0.1", path: "/", agent }, (answer) => {
      answer.resume().once("end", () => {
        if (answer.statusCode === 200) resolve(answer.headers["x-revision"]);
        else reject(new Error(`a request during a change of policy was answered ${answer.statusCode}`));
      });
    }).on("error", reject);
  });
}
