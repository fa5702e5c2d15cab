// Runs every regular expression of the code on long hostile text: one that backtracks quadratically would block the
// event loop for all.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

const length = 65_536;
const maxMs = 20;
/** What a run of the same is made of, and what comes before and after it. */
const runs = [
  " ",
  "\t",
  ",",
  ";",
  '"',
  "'",
  "=",
  "%",
  "/",
  ":",
  "0",
  "a",
  ".",
  "-",
  "&",
  "\\",
  "{",
  "[",
  "x:",
  '\\"',
  ", ",
];
const starts = ["", "0;url=a", "a=", '"', "/", "bearer ", "http://a"];

interface Found {
  readonly where: string;
  readonly pattern: RegExp;
}

const literal =
  /(?<=[(=,:?!&|[\s])\/(?![*/])((?:[^/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+)\/([dgimsuvy]*)(?=[\s.,;:)\]])/g;

/** Good enough for one literal a line and more; what is none of them is quick in any case. */
function patternsIn(file: string): Found[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line, at) => {
    if (/^\s*(?:\/\/|\/?\*)/.test(line)) return [];
    return [...line.matchAll(literal)].flatMap(([whole, text = "", flags]) => {
      try {
        return [{ where: `${file}:${at + 1} ${whole}`, pattern: new RegExp(text, flags) }];
      } catch {
        return [];
      }
    });
  });
}

/** Milliseconds of CPU, of the fastest of a few tries: other work on this machine counts for nothing. */
function timeOf({ pattern }: Found, text: string): number {
  let fastest = Infinity;
  for (let tries = 0; tries < 3 && fastest > maxMs; tries += 1) {
    const start = process.threadCpuUsage();
    text.replace(pattern, "");
    const { user, system } = process.threadCpuUsage(start);
    fastest = Math.min(fastest, (user + system) / 1000);
  }
  return fastest;
}

test("no regular expression takes long over 64 KiB of anything", () => {
  const patterns = globSync(["src/**/*.ts", "plugins/**/*.ts"]).flatMap(patternsIn);
  assert.ok(patterns.length > 100, String(patterns.length));
  const slow = new Set<string>();
  for (const found of patterns)
    for (const run of runs)
      for (const start of starts) {
        const text = `${start}${run.repeat(length / run.length)}\u0000`;
        if (slow.has(found.where)) continue;
        if (timeOf(found, text) > maxMs) slow.add(found.where);
      }
  assert.deepEqual([...slow], []);
});
