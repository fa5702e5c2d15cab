// `npm run chaos`: makes every fault of the catalogue happen to real sidecars and prints what was observed. Further
// words choose scenarios by group or text; `-- --write` writes their rows into deploy/guides/failures.md. Exit code 1
// if a promise does not hold.
import { loadScenarios, play, type Scenario, type Seen } from "./scenario.ts";
import { writeTable } from "./table.ts";

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
if (process.argv.includes("--write")) writeTable(all, results);
process.stdout.write(`${results.length - broken} held, ${broken} broken\n`);
process.exitCode = broken === 0 && results.length > 0 ? 0 : 1;
