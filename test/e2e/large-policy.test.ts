// A policy of thousands of routes arrives while a sidecar serves: its event loop is not blocked.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { stringify } from "yaml";
import { registry } from "../../src/app/registry.ts";
import { createPolicyReader } from "../../src/policy/read.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

/** In YAML, which the library reads in one piece. */
function policyOf(count: number, mark: string): string {
  return stringify({
    apiVersion: "outrigger/v1",
    plugins: ["logging", "auth", "rate-limit", "transform"],
    pluginConfig: {
      auth: { required: false },
      transform: { addResponseHeaders: { "x-mark": mark } },
    },
    routes: [
      { path: "/*" },
      ...Array.from({ length: count }, (_, index) => ({ path: `/api/${index}/*`, methods: ["GET", "POST"] })),
    ],
  });
}

/** CPU of this thread, in milliseconds: what others on the machine take does not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

async function startWith(t: TestContext): Promise<{ set: (policy: string) => void; sidecar: TestSidecar }> {
  const folder = await mkdtemp(join(tmpdir(), "outrigger-large-"));
  const path = join(folder, "policy.yaml");
  const set = (policy: string): void => writeFileSync(path, policy);
  set(policyOf(1, "first"));
  const sidecar = await startSidecar({
    upstream: (_request, response) => void response.end("the service"),
    env: { OUTRIGGER_POLICY_FILE: path },
  });
  t.after(async () => {
    await sidecar.stop();
    await rm(folder, { recursive: true });
  });
  return { set, sidecar };
}

async function untilMarked({ url }: TestSidecar, mark: string): Promise<void> {
  await eventually(mark, async () => (await fetch(url)).headers.get("x-mark") === mark, 60_000);
}

test("while a policy of 4,000 routes is read and set up, the loop never stops for long", async (t) => {
  const { set, sidecar } = await startWith(t);
  const large = policyOf(4_000, "large");
  let maxMs = 0;
  let last = cpuMs();
  const ticks = setInterval(() => {
    const now = cpuMs();
    maxMs = Math.max(maxMs, now - last);
    last = now;
  }, 1);
  set(large);
  await untilMarked(sidecar, "large");
  clearInterval(ticks);

  // What this machine takes to read the same without a thread.
  const plugins = Object.fromEntries(registry.map((plugin) => [plugin.name, plugin]));
  const here = await createPolicyReader({ plugins, service: "x", upstreamAllow: [], keys: undefined });
  const before = cpuMs();
  await here({ shared: Buffer.from(large), layer: undefined, format: "yaml" });
  const readMs = cpuMs() - before;
  assert.ok(maxMs < readMs / 2, `stopped for ${maxMs} ms of CPU; reading takes ${readMs} ms`);
  t.diagnostic(`longest ${maxMs.toFixed(1)} ms of CPU, reading takes ${readMs.toFixed(0)} ms`);
});

test("memory is given back when a large policy goes, and not when another one takes its place", async (t) => {
  const { set, sidecar } = await startWith(t);
  const collections: string[] = [];
  let mark = "";
  const own = globalThis.gc;
  t.after(() => Object.assign(globalThis, { gc: own }));
  Object.assign(globalThis, { gc: () => collections.push(mark) });
  for (mark of ["large", "other", "small"]) {
    set(policyOf(mark === "small" ? 1 : 1_000, mark));
    await untilMarked(sidecar, mark);
  }
  await eventually("collected", () => collections.length > 0);
  assert.deepEqual(collections, ["small"]);
});
