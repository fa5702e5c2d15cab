// The layout in CONTRIBUTING.md matches the real one.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");
const contributing = readFileSync(join(root, ".github/CONTRIBUTING.md"), "utf8");

const foldersOf = (path: string): string[] =>
  readdirSync(join(root, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `${name}/`)
    .sort();

test("CONTRIBUTING's layout names every folder of src, and no other", () => {
  const layout = /^src\/\n((?: {2}.*\n)+)/m.exec(contributing)?.[1] ?? "";
  const named = [...layout.matchAll(/^ {2}([\w-]+\/)/gm)].map((found) => found[1] ?? "").sort();
  assert.deepEqual(named, foldersOf("src"));
});

test("CONTRIBUTING's layout names every folder of tests, and no other", () => {
  const line = /^test\/ +(.*)$/m.exec(contributing)?.[1] ?? "";
  const named = [...line.matchAll(/([\w-]+\/)/g)].map((found) => found[1] ?? "").sort();
  assert.deepEqual(named, foldersOf("test"));
});

test("unit tests stand where the code that they are about stands", () => {
  const rooms = foldersOf("src");
  // Of the tests' own support.
  assert.deepEqual(
    foldersOf("test/unit").filter((name) => name !== "support/" && !rooms.includes(name)),
    [],
  );
});
