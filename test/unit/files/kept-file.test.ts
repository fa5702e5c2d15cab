import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { KeptFile } from "../../../src/files/kept-file.ts";
import { eventually } from "../../support/redis.ts";

test("what finds no room is written once there is some, the newest of it, and told once", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "outrigger-kept-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "kept.json");
  const told: string[] = [];
  let tries = 0;
  let isFull = true;
  const checkDisk = (): void => {
    tries += 1;
    if (isFull) throw new Error("no room");
  };
  const onTrouble = (error: unknown): void => void told.push((error as Error).message);
  const file = new KeptFile({ dir, path, checkDisk, onTrouble, retryMs: 5 });
  file.save(() => "older");
  await eventually("it tries again", () => tries > 3);
  assert.deepEqual(told, ["no room"]);
  file.save(() => "newer");
  await eventually("it is told", () => told.length === 2);
  isFull = false;
  await eventually("it is kept", () => {
    try {
      return readFileSync(path, "utf8") === "newer";
    } catch {
      return false;
    }
  });
  isFull = true;
  file.save(() => "last");
  await file.settled();
  const before = tries;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(tries, before, "nothing is written after the end");
  assert.deepEqual(told, ["no room", "no room", "no room"]);
});
