// `npm run chaos`: makes every fault of the catalogue happen to real sidecars and says what was seen. Words after it choose
// scenarios by group or text; `-- --write` puts the table into the README. Exit code 1 when a promise does not hold.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadScenarios, play, type Scenario, type Seen } from "./scenario.ts";

const readme = join(import.meta.dirname, "../../README.md");
const cell = (text: string): string => text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").slice(0, 200);

function table(results: readonly Seen[]): string {
  const rows = results.map(({ scenario: { group, fault, promised }, held, seen }) => {
    return `| ${group} | ${cell(fault)} | ${cell(promised)} | ${cell(seen)} | ${held ? "held" : "**broken**"} |`;
  });
  return ["| | fault | promised | seen | |", "| --- | --- | --- | --- | --- |", ...rows].join("\n");
}

function write(results: readonly Seen[]): void {
  const begin = "<!-- chaos:begin -->";
  const end = "<!-- chaos:end -->";
  const text = readFileSync(readme, "utf8");
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in README.md`);
  writeFileSync(readme, `${before}${begin}\n${table(results)}\n${end}${after}`);
}

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const isWanted = ({ group, fault }: Scenario): boolean =>
  words.length === 0 || words.some((word) => `${group} ${fault}`.includes(word));
const results: Seen[] = [];
const all = await loadScenarios();
if (!all.some(isWanted)) {
  const groups = [...new Set(all.map(({ group }) => group))].join(", ");
  process.stderr.write(`no scenario's group or text contains ${words.join(" or ")}; groups: ${groups}\n`);
}
for (const scenario of all.filter(isWanted)) {
  const seen = await play(scenario);
  results.push(seen);
  process.stdout.write(
    `${seen.held ? "held  " : "BROKEN"}  ${scenario.group}: ${scenario.fault}\n        promised: ${scenario.promised}\n        seen: ${seen.seen}\n`,
  );
}
const broken = results.filter(({ held }) => !held).length;
process.stdout.write(`${results.length - broken} held, ${broken} broken\n`);
if (process.argv.includes("--write")) write(results);
process.exitCode = broken === 0 && results.length > 0 ? 0 : 1;
