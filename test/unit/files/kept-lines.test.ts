// Lines kept in the state folder: across restarts, between workers, and only as long as they are needed.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FolderLines } from "../../../src/files/kept-lines.ts";

const root = mkdtempSync(join(tmpdir(), "outrigger-lines-"));
after(() => rmSync(root, { recursive: true }));
const dayMs = 86_400_000;
let nowMs = 20_000 * dayMs;
const clock = { now: () => nowMs, mono: () => nowMs };
const linesIn = (folder: string, service = "shop"): FolderLines =>
  new FolderLines(join(root, folder), "ended", service, clock);

test("what one appends, each reads once, also one that starts later", async () => {
  const [one, two] = [linesIn("a"), linesIn("a")];
  assert.deepEqual(await one.fresh(), []);
  await one.append("x", nowMs + 1_000);
  await two.append("y", nowMs + 1_000);
  assert.deepEqual(await one.fresh(), ["x", "y"]);
  assert.deepEqual(await one.fresh(), []);
  await two.append("z", nowMs + 5 * dayMs);
  assert.deepEqual([await one.fresh(), await two.fresh()], [["z"], ["x", "y", "z"]]);
  assert.deepEqual(await linesIn("a").fresh(), ["x", "y", "z"]);
  assert.deepEqual(await linesIn("a", "other").fresh(), []);
});

test("a line that is not whole yet waits for its end", async () => {
  const lines = linesIn("b");
  await lines.append("whole", nowMs);
  const [file = ""] = readdirSync(join(root, "b"));
  appendFileSync(join(root, "b", file), "ha");
  assert.deepEqual(await lines.fresh(), ["whole"]);
  appendFileSync(join(root, "b", file), "lf\n");
  assert.deepEqual(await lines.fresh(), ["half"]);
});

test("files of days that are over go, and files of others stay", async () => {
  const lines = linesIn("c");
  await lines.append("today", nowMs);
  await lines.append("later", nowMs + 3 * dayMs);
  for (const name of ["policy-shop.json", "ended-shop.txt", "ended-shop-2.1"])
    writeFileSync(join(root, "c", name), "other\n");
  nowMs += dayMs;
  assert.deepEqual(await lines.fresh(), ["later"]);
  assert.equal(readdirSync(join(root, "c")).length, 4);
});

test("a folder that cannot be read or written is an error, never an empty one", async () => {
  writeFileSync(join(root, "d"), "a file");
  await assert.rejects(linesIn("d").append("x", nowMs));
  await assert.rejects(linesIn("d").fresh());
});
