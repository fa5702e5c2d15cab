// Slow readings of a policy: those that are aborted, overtaken or no longer waited for.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import {
  createPolicyController,
  type PolicyController,
  type PolicyControllerOptions,
} from "../../../src/policy/controller.ts";
import { problemText, ReadingCutShort } from "../../../src/policy/document/problems.ts";
import { createPolicyReader, type PolicyReader } from "../../../src/policy/read.ts";
import { createFileSource } from "../../../src/policy/sources/file-source.ts";
import { eventually } from "../../support/redis.ts";
import { samplePlugins, text } from "./sample.ts";

const folder = await mkdtemp(join(tmpdir(), "outrigger-reading-"));
const path = join(folder, "policy.json");
const here = await createPolicyReader({
  plugins: samplePlugins,
  service: "users",
  upstreamAllow: [],
  keys: undefined,
});
const set = (...plugins: string[]): Promise<void> => writeFile(path, text({ plugins }));

let controller: PolicyController;
let swapped: string[][];
let rejected: string[];
beforeEach(() => set("auth"));
afterEach(() => controller.stop());
after(() => rm(folder, { recursive: true }));

type Parts = Pick<
  PolicyControllerOptions<readonly string[]>,
  "source" | "compile" | "release" | "patienceMs" | "retryMs" | "test"
>;

function start(read: PolicyReader, parts: Partial<Parts> = {}): Promise<void> {
  swapped = [];
  rejected = [];
  controller = createPolicyController<readonly string[]>({
    read,
    source: createFileSource({ path, pollMs: 50, settleMs: 1 }),
    compile: async (policy) => policy.document.plugins,
    swap: (plugins) => void swapped.push([...plugins]),
    release: () => {},
    clock: { now: () => 1_700_000_000_000 },
    events: {
      onAccepted: () => {},
      onRejected: (problems) => void rejected.push(problems.map(problemText).join()),
      onSourceState: () => {},
    },
    ...parts,
  });
  return controller.start();
}

test("a policy whose reading was given up is told of once, and read again", async () => {
  let readings = 0;
  await start(async (raw) => {
    readings += 1;
    if (readings < 3) throw new ReadingCutShort("takes longer than 30 s to read");
    return here(raw);
  });
  await eventually("in force", () => controller.ready);
  assert.deepEqual(swapped, [["auth"]]);
  assert.deepEqual(rejected, ["takes longer than 30 s to read"]);
  assert.equal(controller.status().lastError, null);
});

test("a policy that comes while another one is read is the one in force in the end", async () => {
  const first = Promise.withResolvers<void>();
  let readings = 0;
  const started = start(async (raw) => {
    readings += 1;
    if (readings === 1) await first.promise;
    return here(raw);
  });
  await eventually("the first is being read", () => readings === 1);
  await set("cache");
  await set("transform");
  first.resolve();
  await started;
  await eventually("the last is in force", () => swapped.at(-1)?.[0] === "transform");
  assert.equal(controller.status().effective?.plugins[0], "transform");
});

test("a stop ends a reading, and that is no refusal", async () => {
  let isRead = false;
  let over = false;
  const started = start(async (_raw, signal) => {
    isRead = true;
    await new Promise((_, reject) => {
      signal?.addEventListener("abort", () => {
        over = true;
        reject(signal.reason as Error);
      });
    });
    throw new Error("unreachable");
  });
  await eventually("it is being read", () => isRead);
  await controller.stop();
  await started;
  assert.deepEqual([over, rejected, swapped], [true, [], []]);
});

/** Resolves never. */
const hang = new Promise<never>(() => {});

test("a newer policy waits only a moment behind one whose set-up hangs, which is released when it ends after all", async () => {
  const slow = Promise.withResolvers<void>();
  const compiled: string[] = [];
  const released: string[] = [];
  const started = start(here, {
    patienceMs: 1,
    compile: async ({ document: { plugins } }) => {
      compiled.push(plugins.join());
      if (plugins.includes("auth")) await slow.promise;
      return plugins;
    },
    release: (plugins) => void released.push(plugins.join()),
  });
  await eventually("the first is being set up", () => compiled.length === 1);
  await set("cache");
  await started;
  assert.deepEqual([swapped, rejected], [[["cache"]], []]);
  assert.equal(controller.status().lastError, null);
  slow.resolve();
  await eventually("released", () => released.length === 1);
  assert.deepEqual([released, swapped], [["auth"], [["cache"]]]);
});

test("one whose tests hang is broken off, too", async () => {
  let [begun, over] = [false, false];
  const started = start(here, {
    patienceMs: 1,
    test: async ({ document: { plugins } }, signal) => {
      if (!plugins.includes("auth")) return [];
      begun = true;
      signal.addEventListener("abort", () => (over = true));
      return Promise.race([hang, once(signal, "abort").then(() => Promise.reject(signal.reason as Error))]);
    },
  });
  await eventually("its tests are run", () => begun);
  await set("cache");
  await started;
  assert.deepEqual([over, swapped, rejected], [true, [["cache"]], []]);
});

test("the same documents, found again by polls, break nothing off", async () => {
  const slow = Promise.withResolvers<void>();
  let polls = 0;
  const source = createFileSource({ path, pollMs: 5, settleMs: 1 });
  const started = start(here, {
    patienceMs: 1,
    source: {
      ...source,
      start: (onReading) =>
        source.start((reading) => {
          polls += 1;
          onReading(reading);
        }),
    },
    compile: async ({ document: { plugins } }) => {
      await slow.promise;
      return plugins;
    },
  });
  await eventually("it is found again and again", () => polls > 5);
  slow.resolve();
  await started;
  assert.deepEqual(swapped, [["auth"]]);
});

test("documents whose reading was cut short are read again soon, though nobody changes them", async () => {
  let readings = 0;
  const read: PolicyReader = (raw, signal) => {
    readings += 1;
    return readings < 4 ? Promise.reject(new ReadingCutShort("no package")) : here(raw, signal);
  };
  // The file is looked at once an hour.
  const source = createFileSource({ path, pollMs: 3_600_000, settleMs: 1 });
  await start(read, { source, retryMs: 5 });
  assert.deepEqual([swapped, rejected], [[], ["no package"]]);
  await eventually("it is in force", () => swapped.length === 1);
  assert.deepEqual([readings, rejected], [4, ["no package"]]);
});
