// Sorts the samples of `perf record` by the part of the program in which the processor was.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** One frame of a stack, innermost first. */
interface Frame {
  readonly symbol: string;
  /** File of the executable or library. */
  readonly object: string;
}

/** Part of the bundle that a line belongs to: `plugins`, `src` or `packages`. */
type PartOfLine = (line: number) => string;

const collectors = /Heap::CollectGarbage|Scavenger|MarkCompact|IncrementalMarking|ConcurrentMarking|Sweeper/u;

/** @param program the bundle's file, which names each source file in a comment before its lines */
export function partsOfProgram(program: string): PartOfLine {
  const starts: { line: number; part: string }[] = [];
  for (const [index, text] of readFileSync(program, "utf8").split("\n").entries()) {
    const [, folder] = /^\/\/ (src|plugins|node_modules)\//u.exec(text) ?? [];
    if (folder !== undefined)
      starts.push({ line: index + 1, part: folder === "node_modules" ? "packages" : folder });
  }
  return (line) => starts.findLast((start) => start.line <= line)?.part ?? "packages";
}

/**
 * Leaves in V8's map of names for perf (`--perf-basic-prof`) the last name of each address: code that was collected
 * leaves its line there, and perf would take the first. Does nothing if there is no such file.
 */
export function dropStaleNames(file: string): void {
  if (!existsSync(file)) return;
  const lines = readFileSync(file, "utf8").split("\n");
  const kept: string[] = [];
  /** Begin and end of the kept lines, by begin. */
  const taken: { begin: number; end: number }[] = [];
  for (const line of lines.toReversed()) {
    const [begin = Number.NaN, size = 0] = line.split(" ", 2).map((text) => Number.parseInt(text, 16));
    if (Number.isNaN(begin)) continue;
    const at = placeOf(taken, begin);
    const overlaps = (taken[at - 1]?.end ?? 0) > begin || (taken[at]?.begin ?? Infinity) < begin + size;
    if (overlaps) continue;
    taken.splice(at, 0, { begin, end: begin + size });
    kept.push(line);
  }
  writeFileSync(file, `${kept.toReversed().join("\n")}\n`);
}

/** @returns the index of the first range that begins after it */
function placeOf(ranges: readonly { begin: number }[], begin: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle]?.begin ?? 0) > begin) high = middle;
    else low = middle + 1;
  }
  return low;
}

function partOf(thread: string, stack: readonly Frame[], partOfLine: PartOfLine): string {
  const [{ symbol, object } = { symbol: "", object: "" }] = stack;
  const collects = stack.some((frame) => collectors.test(frame.symbol));
  if (/Worker|DelayedTask/u.test(thread))
    return collects ? "garbage collection, other threads" : "V8's compilers, other threads";
  if (object.includes("kernel") || object.startsWith("[k") || object.includes("kallsyms")) return "kernel";
  if (collects) return "garbage collection";
  if (symbol.startsWith("JS:")) {
    const [, line] = /program\.cjs:(\d+):\d+$/u.exec(symbol) ?? [];
    return `JavaScript: ${line === undefined ? "Node's own" : partOfLine(Number(line))}`;
  }
  if (symbol.startsWith("RegExp")) return "V8: regular expressions";
  if (symbol.startsWith("Builtins_")) return "V8: built-in functions";
  if (symbol.startsWith("v8::")) return "V8: the rest";
  return /libc|vdso|ld-linux/u.test(object)
    ? "libc"
    : "C and C++ of the program: Node, libuv, OpenSSL; nginx";
}

/** @returns the number of samples of each part. Rejects if perf fails */
export async function samplesByPart(file: string, partOfLine: PartOfLine): Promise<Map<string, number>> {
  const perf = spawn("perf", ["script", "-i", file, "-F", "comm,ip,sym,dso"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const end = once(perf, "close");
  const counts = new Map<string, number>();
  let thread: string | undefined;
  let stack: Frame[] = [];
  for await (const line of createInterface(perf.stdout)) {
    const [, symbol = "", object = ""] = /^\s+[0-9a-f]+ (.*) \((.*)\)$/u.exec(line) ?? [];
    if (object !== "") stack.push({ symbol, object });
    else if (line !== "") thread = line;
    else if (thread !== undefined) {
      const part = partOf(thread, stack, partOfLine);
      counts.set(part, (counts.get(part) ?? 0) + 1);
      [thread, stack] = [undefined, []];
    }
  }
  const [code] = (await end) as [number | null];
  if (code !== 0 || counts.size === 0) throw new Error(`perf script ended with ${code}: no samples`);
  return counts;
}
