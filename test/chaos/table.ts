// The README's table of faults: what a run of the whole catalogue saw.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Seen } from "./scenario.ts";

const readme = join(import.meta.dirname, "../../README.md");
const begin = "<!-- chaos:begin -->";
const end = "<!-- chaos:end -->";

const cell = (text: string): string =>
  text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("<", "&lt;").slice(0, 200);

function table(results: readonly Seen[]): string {
  const held = results.filter((result) => result.held).length;
  const rows = results.map(({ scenario: { group, fault, promised }, held, seen }) => {
    return `| ${group} | ${cell(fault)} | ${cell(promised)} | ${cell(seen)} | ${held ? "held" : "**broken**"} |`;
  });
  return [
    `\`npm run chaos -- --write\`, ${new Date().toISOString().slice(0, 10)}: ${held} of ${results.length} held.`,
    "",
    "<details><summary>Every fault, what is promised, what was seen</summary>",
    "",
    "| | fault | promised | seen | |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "</details>",
  ].join("\n");
}

/** @throws Error when the README has no place for it */
export function writeTable(results: readonly Seen[]): void {
  const text = readFileSync(readme, "utf8");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in README.md`);
  writeFileSync(readme, `${before}${begin}\n${table(results)}\n${end}${after}`);
}
