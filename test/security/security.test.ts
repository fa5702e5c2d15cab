// Runs the catalogue of attacks as part of `npm test`.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { join } from "node:path";
import { loadAttacks, replay } from "./attack.ts";
import { pageTexts } from "./page.ts";
import { promises } from "./promises.ts";

test("SECURITY.md names every attack and its tests, and no other (node test/security/run.ts --write)", async () => {
  const { is, shouldBe } = await pageTexts();
  assert.equal(is, shouldBe);
  const named = Object.values(promises).flatMap(({ tests = [] }) => tests);
  const missing = named.filter((file) => !existsSync(join(import.meta.dirname, "../..", file)));
  assert.deepEqual(missing, []);
});

for (const attack of await loadAttacks()) {
  test(`${attack.row}: ${attack.what}`, () => replay(attack));
}
