// Lets test files share a process. Each process loads some 1,200 modules before its first test, which takes longer than
// most tests; so a whole run joins the files of `unit` and `plugins`, several to a process. Files that change or measure
// their process keep it for themselves, and whoever runs single files runs them as they are.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "../..");
const ownFolder = join(root, "node_modules/.cache/test-groups");

/** More share the costs, but a process runs its files one after the other, and the last group makes the run longer. */
const groupSize = 8;

/** Not those of `auth`, whose harness closes what a file has made at the end of the file that came first. */
const joined = /^test\/(?:unit|plugins\/(?!auth\/))/;
/** Sets what all files of a process would see, or measures what all of them cause. */
const ownProcess =
  /process\.env\[[^\]]*\] *=|delete process\.env|process\.(?:on|once|chdir|emitWarning|exitCode|umask|title)\b|[cC]puUsage|cpuMs|longestTurn|memoryUsage|heapStat|setFlagsFromString|ActiveResources|setMaxListeners|globalThis|NODE_OPTIONS|diagnostics_channel|monitorEventLoop/;

/**
 * @param files paths relative to the project
 * @param folder is made anew
 * @returns what to run in their place: first the files that are not joined, then modules in the folder that import
 *   several files, each in a suite of its name
 */
export function groupFiles(files: readonly string[], folder = ownFolder): string[] {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const alone = files.filter((file) => !isJoined(file));
  const others = files.filter(isJoined);
  const groups: string[] = [];
  for (let from = 0; from < others.length; from += groupSize) {
    const group = others.slice(from, from + groupSize);
    const path = join(folder, `${groups.length}-from-${basename(group[0] as string, ".test.ts")}.mjs`);
    writeFileSync(path, `import { describe } from "node:test";\n${group.map(suiteOf).join("")}`);
    groups.push(path);
  }
  return [...alone.map((file) => join(root, file)), ...groups];
}

function isJoined(file: string): boolean {
  return joined.test(file) && !ownProcess.test(readFileSync(join(root, file), "utf8"));
}

/** Hooks of the file hold for its suite alone. */
function suiteOf(file: string): string {
  const url = JSON.stringify(pathToFileURL(join(root, file)).href);
  return `describe(${JSON.stringify(file)}, async () => void (await import(${url})));\n`;
}
