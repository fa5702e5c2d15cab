// Writes the table of faults in deploy/guides/failures.md: what runs of the catalogue observed.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario, Seen } from "./scenario.ts";

const page = join(import.meta.dirname, "../../deploy/guides/failures.md");
const begin = "<!-- chaos:begin -->";
const end = "<!-- chaos:end -->";

const cell = (text: string): string =>
  text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("<", "&lt;").slice(0, 200);

const nameOf = ({ group, fault }: Scenario): string => `| ${group} | ${cell(fault)} | `;

/** Scenarios that did not run this time keep their old row. */
function tableOf(all: readonly Scenario[], results: readonly Seen[], before: string): string {
  const played = new Map(results.map((seen) => [seen.scenario, seen]));
  const known = before.split("\n");
  const rows = all.flatMap((scenario) => {
    const seen = played.get(scenario);
    const name = nameOf(scenario);
    if (seen === undefined) return known.find((row) => row.startsWith(name)) ?? [];
    return `${name}${cell(scenario.promised)} | ${cell(seen.seen)} | ${seen.held ? "held" : "**broken**"} |`;
  });
  const held = rows.filter((row) => row.endsWith("| held |")).length;
  return [
    `\`npm run chaos -- --write\`, ${new Date().toISOString().slice(0, 10)}: ${held} of ${rows.length} held.`,
    "",
    "| | fault | promised | seen | |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/** @throws Error if the page has no place for the table */
export function writeTable(all: readonly Scenario[], results: readonly Seen[]): void {
  const text = readFileSync(page, "utf8");
  const [before, rest] = text.split(begin);
  const [table = "", after] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in ${page}`);
  writeFileSync(page, `${before}${begin}\n${tableOf(all, results, table)}\n${end}${after}`);
}
