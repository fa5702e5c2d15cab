// Ended sessions without Redis: the workers of one sidecar learn of each other's, and a restarted sidecar of earlier
// ones.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { EndedSessions } from "../../../plugins/auth/sessions/ended-sessions.ts";
import type { Services } from "../../../src/plugin-api/contract.ts";
import { FolderLines } from "../../../src/files/kept-lines.ts";
import { makeServices } from "./harness.ts";

const root = mkdtempSync(join(tmpdir(), "outrigger-ended-"));
after(() => rmSync(root, { recursive: true }));

async function worker(folder: string | undefined, workers: number) {
  const made = await makeServices();
  const services: Services = {
    ...made.services,
    fleet: { ...made.services.fleet, workers },
    keptLines:
      folder === undefined
        ? undefined
        : (name) => new FolderLines(join(root, folder), name, "shop", made.clock),
  };
  return { ended: new EndedSessions(services), clock: made.clock, log: () => made.log() };
}

test("a worker hears of another's logouts within a moment, and a restart remembers them", async () => {
  const [one, two] = [await worker("a", 2), await worker("a", 2)];
  assert.equal(await two.ended.lookUp("s-1"), false);
  assert.equal(two.ended.unheard, true);
  await one.ended.end("s-1", 60_000);
  two.clock.forward(500);
  assert.deepEqual(
    [await two.ended.lookUp("s-1"), two.ended.has("s-1"), await two.ended.lookUp("s-2")],
    [true, true, false],
  );
  const restarted = await worker("a", 1);
  assert.deepEqual([await restarted.ended.lookUp("s-1"), restarted.ended.unheard], [true, false]);
});

test("a folder that cannot be read lets nobody in, and is asked again", async () => {
  writeFileSync(join(root, "b"), "a file");
  const { ended, clock } = await worker("b", 1);
  await assert.rejects(ended.lookUp("s-1"));
  await assert.rejects(ended.lookUp("s-1"));
  rmSync(join(root, "b"));
  clock.forward(500);
  assert.equal(await ended.lookUp("s-1"), false);
});

test("with neither Redis nor a folder the log says what is missing", async () => {
  const { ended, log } = await worker(undefined, 1);
  await ended.end("s-1", 60_000);
  assert.equal(await ended.lookUp("s-1"), true);
  assert.match(await log(), /no OUTRIGGER_STATE_DIR/);
});

test("an end that could not be written down is good here, said, and written on the next try", async () => {
  writeFileSync(join(root, "c"), "a file");
  const { ended } = await worker("c", 1);
  await assert.rejects(ended.end("s-1", 60_000));
  assert.equal(ended.has("s-1"), true);
  await assert.rejects(ended.end("s-1", 60_000));
  rmSync(join(root, "c"));
  await ended.end("s-1", 60_000);
  assert.equal(await (await worker("c", 1)).ended.lookUp("s-1"), true);
});
