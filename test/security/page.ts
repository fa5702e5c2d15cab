// Makes the tables of .github/SECURITY.md: each promise, and the tests that check it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadCatalogue } from "./attack.ts";
import { attackers, promises } from "./promises.ts";

const page = join(import.meta.dirname, "../../.github/SECURITY.md");
const marks = (attacker: string): [string, string] => [
  `<!-- ${attacker}:begin -->`,
  `<!-- ${attacker}:end -->`,
];

/** @returns the page as it is and as it should be. Rejects if an attack belongs to no promise. */
export async function pageTexts(): Promise<{ is: string; shouldBe: string }> {
  const files = new Map<string, Set<string>>();
  for (const { attack, file } of await loadCatalogue()) {
    if (!Object.hasOwn(promises, attack.row)) throw new Error(`${attack.row} (${file}) has no promise`);
    files.set(attack.row, (files.get(attack.row) ?? new Set()).add(`attacks/${file}`));
  }
  const is = readFileSync(page, "utf8");
  let shouldBe = is;
  for (const attacker of attackers) {
    const rows = [...files].flatMap(([row, own]) => {
      const { against, promise, tests = [] } = promises[row] ?? { against: "", promise: "" };
      const held = [...own, ...tests].map((file) => `\`${file}\``).join(", ");
      return against === attacker ? [`| ${row} | ${promise} | ${held} |`] : [];
    });
    const [begin, end] = marks(attacker);
    const [before, rest] = shouldBe.split(begin);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in SECURITY.md`);
    const table = ["| | promise | held by |", "| --- | --- | --- |", ...rows].join("\n");
    shouldBe = `${before}${begin}\n${table}\n${end}${after}`;
  }
  return { is, shouldBe };
}

export async function writePage(): Promise<void> {
  writeFileSync(page, (await pageTexts()).shouldBe);
}
