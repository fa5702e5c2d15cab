// The table of faults in deploy/guides/failures.md: what a run of the whole catalogue saw.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Seen } from "./scenario.ts";

const page = join(import.meta.dirname, "../../deploy/guides/failures.md");
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
    "| | fault | promised | seen | |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/** @throws Error when the page has no place for it */
export function writeTable(results: readonly Seen[]): void {
  const text = readFileSync(page, "utf8");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in ${page}`);
  writeFileSync(page, `${before}${begin}\n${table(results)}\n${end}${after}`);
}
