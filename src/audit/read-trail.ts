// Reads a trail line by line: from files, oldest first, or from the stream in Redis.
import { createReadStream } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Script, Store } from "../plugin-api/store.ts";
import { filesBefore } from "./file-sink.ts";
import { headsOf } from "./head-board.ts";
import type { HeadVerifier } from "./key.ts";
import { streamKey } from "./redis-sink.ts";
import type { Anchor, TrailLine } from "./verify.ts";

/** Longer than any record: bounds memory if a file has no line ends. */
const maxLineLength = 1_048_576;
const pageLimitMs = 5_000;
const pageEntries = 500;

/**
 * Lines of the files put aside, oldest first, then of the file itself. Rejects with the system's error if unreadable.
 */
export async function* fileLines(path: string): AsyncGenerator<TrailLine> {
  const before = await filesBefore(path);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere && before.length > 0) yield* linesOf(before);
  else yield* linesOf([...before, path]);
}

async function* linesOf(paths: readonly string[]): AsyncGenerator<TrailLine> {
  for (const path of paths) {
    let number = 0;
    let rest = "";
    for await (const chunk of createReadStream(path, "utf8") as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const text of lines) yield { text, where: `${path}:${(number += 1)}` };
      if (rest.length > maxLineLength) throw new Error(`${path}:${number + 1} is longer than any record`);
    }
    // The last line has no line end: its end was cut off.
    if (rest !== "") yield { text: rest, where: `${path}:${number + 1}` };
  }
}

/**
 * The files that a sidecar writes when its setting names `path`: that file, or with several processes one per process
 * beside it; also those of a process whose current file is gone.
 */
export async function trailFiles(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.w`;
  const files: readonly string[] = await readdir(dirname(path)).catch(() => []);
  const processes = files
    .filter((file) => file.startsWith(prefix))
    .map((file) => /^(\d+|primary)(?:\.\d{8}T|$)/.exec(file.slice(prefix.length))?.[1]);
  const found = [...new Set(processes.filter((name) => name !== undefined))]
    .sort()
    .map((name) => join(dirname(path), `${prefix}${name}`));
  const isAlone =
    found.length === 0 || files.includes(basename(path)) || (await filesBefore(path)).length > 0;
  return isAlone ? [path, ...found] : found;
}

const readPage: Script = {
  name: "audit-read",
  lua: "return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])",
};

/** Lines of a service's stream in Redis. Rejects with StoreUnavailable. */
export async function* streamLines(store: Store, service: string): AsyncGenerator<TrailLine> {
  const key = streamKey(service);
  for (let from = "-"; ;) {
    const page = await store.run(readPage, [key], [from, pageEntries], pageLimitMs);
    const entries = Array.isArray(page) ? (page as [string, string[]][]) : [];
    for (const [id, fields] of entries) {
      const at = fields.findIndex((name, index) => index % 2 === 0 && name === "line");
      yield { text: fields[at + 1] ?? "", where: `${key} ${id}` };
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < pageEntries) return;
    from = `(${last[0]}`;
  }
}

const headBounds = { maxFields: 1_000_000, maxEntryBytes: 4_096, maxBytes: 256 * 1_048_576 };

/** The signed heads that sidecars of a service have shown in Redis. Rejects with StoreUnavailable. */
export async function shownHeads(store: Store, service: string, keys: HeadVerifier): Promise<Anchor[]> {
  const anchors: Anchor[] = [];
  for (const key of await store.scan(`audit:${service}:heads:`, 1_000)) {
    const flat = await store.readHash(key, headBounds, pageLimitMs);
    for (const [chain, seq, hash] of headsOf(flat, keys))
      anchors.push({ chain, seq, hash, by: `${key} in Redis` });
  }
  return anchors;
}
