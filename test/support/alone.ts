// Runs each test of the files whose path contains one of the given words by itself, and lists tests that pass in their
// file but fail alone: these depend on what another test left behind, so that they cannot be run alone when it matters.
// `node test/support/alone.ts unit/cli`; not part of `npm test`, because it starts a process for each test.
import { globSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";

const root = join(import.meta.dirname, "../..");

interface Ran {
  /** Names of its suites and its own name, in the form against which patterns are matched. */
  readonly name: string;
  readonly passed: boolean;
}

/**
 * Runs a file, or only its tests that match the pattern. @returns the tests that ran, without suites and skipped tests
 */
async function testsOf(file: string, pattern?: RegExp): Promise<Ran[]> {
  const events = run({
    files: [join(root, file)],
    cwd: root,
    execArgv: ["--import", join(import.meta.dirname, "file-limit.ts")],
    ...(pattern !== undefined && { testNamePatterns: [pattern] }),
  });
  const within: string[] = [];
  const ran: Ran[] = [];
  events.on("test:start", ({ name, nesting }) => {
    within.length = nesting;
    within[nesting] = name;
  });
  const keep = (passed: boolean) => {
    return (event: {
      name: string;
      nesting: number;
      skip?: unknown;
      details: { type?: string | undefined };
    }) => {
      within.length = event.nesting;
      if (event.details.type === "suite" || event.skip !== undefined) return;
      ran.push({ name: [...within, event.name].join(" "), passed });
    };
  };
  events.on("test:pass", keep(true));
  events.on("test:fail", keep(false));
  events.resume();
  await new Promise((resolve) => events.once("close", resolve).once("end", resolve));
  return ran;
}

/** @returns names of the tests that pass only together with others */
async function leaning(file: string): Promise<string[]> {
  const found: string[] = [];
  for (const { name, passed } of await testsOf(file)) {
    if (!passed) {
      console.log(`${file}: fails among the others too: ${name}`);
      continue;
    }
    const alone = await testsOf(file, new RegExp(`^${RegExp.escape(name)}$`));
    if (alone.length === 0 || alone.some((test) => !test.passed)) found.push(name);
  }
  return found;
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  const files = globSync("test/**/*.test.ts", { cwd: root })
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort();
  for (const file of files) {
    const names = await leaning(file);
    for (const name of names) console.log(`${file}: fails alone: ${name}`);
    if (names.length > 0) process.exitCode = 1;
    else console.log(`${file}: every test runs alone`);
  }
}
