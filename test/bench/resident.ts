// Splits the resident memory of a process by its mappings.
import { readFileSync } from "node:fs";

/** All figures in MiB. */
export interface Resident {
  /** Pages of Node's executable: each is in memory once, however many processes map it. */
  readonly executable: number;
  /** Pages of the C library and other libraries. */
  readonly libraries: number;
  /** Memory that malloc took by moving the program break: with one arena everything but its largest pieces. */
  readonly malloc: number;
  /** Mappings without a file: V8's heap, large pieces of malloc, stacks. */
  readonly anonymous: number;
}

const head = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)$/;
const size = /^(Rss|Anonymous): +(\d+) kB$/;

/** @param text content of smaps, see proc(5) */
export function residentOf(text: string): Resident {
  const kibibytes = { executable: 0, libraries: 0, malloc: 0, anonymous: 0 };
  let part: keyof Resident = "anonymous";
  for (const line of text.split("\n")) {
    const name = head.exec(line)?.[1];
    if (name !== undefined) part = partOf(name);
    const [, kind, kB = "0"] = size.exec(line) ?? [];
    if (kind === "Rss") kibibytes[part] += Number(kB);
    // A page of a file becomes anonymous once the process writes to it.
    if (kind === "Anonymous" && (part === "executable" || part === "libraries")) {
      kibibytes[part] -= Number(kB);
      kibibytes.anonymous += Number(kB);
    }
  }
  const { executable, libraries, malloc, anonymous } = kibibytes;
  return {
    executable: executable / 1024,
    libraries: libraries / 1024,
    malloc: malloc / 1024,
    anonymous: anonymous / 1024,
  };
}

function partOf(name: string): keyof Resident {
  if (name === "[heap]") return "malloc";
  if (!name.startsWith("/")) return "anonymous";
  return name.endsWith("/node") ? "executable" : "libraries";
}

export const residentNow = (pid: number): Resident =>
  residentOf(readFileSync(`/proc/${pid}/smaps`, "latin1"));
