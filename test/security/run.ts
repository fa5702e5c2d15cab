// Replays every attack of the catalogue and prints row and verdict: `node test/security/run.ts [Z7 Z12 …]`. Exit code 1
// if one gets through. `--write` rewrites the tables of .github/SECURITY.md instead.
import { loadAttacks, replay } from "./attack.ts";
import { writePage } from "./page.ts";

if (process.argv.includes("--write")) {
  await writePage();
  process.exit();
}
const wanted = process.argv.slice(2).map((row) => row.toUpperCase());
const all = await loadAttacks();
const attacks = all.filter(({ row }) => wanted.length === 0 || wanted.includes(row));
const unknown = wanted.filter((row) => !all.some((attack) => attack.row === row));
if (unknown.length > 0) process.stderr.write(`no attack of row ${unknown.join(", ")}\n`);
let through = 0;
for (const attack of attacks) {
  const { row, what } = attack;
  try {
    await replay(attack);
    process.stdout.write(`${row.padEnd(4)} held     ${what}\n`);
  } catch (error) {
    through += 1;
    process.stdout.write(
      `${row.padEnd(4)} THROUGH  ${what}\n     ${String(error).split("\n").join("\n     ")}\n`,
    );
  }
}
process.stdout.write(`${attacks.length - through} held, ${through} through\n`);
// Does not use exitCode: helpers of attacks import node:test, which would print a summary of its own.
process.exit(through === 0 && attacks.length > 0 ? 0 : 1);
