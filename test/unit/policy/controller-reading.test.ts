// Readings that take long: those that are given up, overtaken or no longer waited for.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { createPolicyController, type PolicyController } from "../../../src/policy/controller.ts";
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

function start(read: PolicyReader): Promise<void> {
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
