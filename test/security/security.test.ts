// The catalogue of attacks as part of `npm test`.
import { test } from "node:test";
import { loadAttacks, replay } from "./attack.ts";

for (const attack of await loadAttacks()) {
  test(`${attack.row}: ${attack.what}`, () => replay(attack));
}
