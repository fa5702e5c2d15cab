// Which test files share a process. A file that no group took would be run by nobody.
import assert from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { groupFiles } from "../../support/groups.ts";

const root = join(import.meta.dirname, "../../..");

test("every test file is run once, alone or in a group of eight at most", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-groups-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = globSync("test/**/*.test.ts", { cwd: root }).sort();
  const isGroup = (path: string): boolean => path.startsWith(folder);
  const run = groupFiles(files, folder);
  const imported = run.filter(isGroup).map((path) => {
    const urls = readFileSync(path, "utf8").matchAll(/await import\("([^"]+)"\)/g);
    return [...urls].map(([, url = ""]) => fileURLToPath(url));
  });
  assert.ok(imported.length > 10);
  assert.ok(imported.every(({ length }) => length >= 1 && length <= 8));
  const all = [...run.filter((path) => !isGroup(path)), ...imported.flat()];
  assert.deepEqual(
    all.sort(),
    files.map((file) => join(root, file)),
  );
});
