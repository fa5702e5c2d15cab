// Reads the policy from a file. Watches the folder, not the file: editors write a new file and rename it over the old
// one, and Kubernetes swaps a symbolic link beside it.
import { type FSWatcher, watch } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { defaultMaxBytes, type PolicyFormat } from "../document/parse.ts";
import { type PollerOptions, Poller } from "./poller.ts";
import type { PolicySource, SourceReading } from "./source.ts";

export interface FileSourceOptions extends Partial<Omit<PollerOptions, "read">> {
  readonly path: string;
  readonly maxBytes?: number;
}

/** A file counts as written completely once it stays unchanged for this many times `settleMs`. */
const restsFor = 4;
const maxLooks = 25;

export function createFileSource(options: FileSourceOptions): PolicySource {
  const { path, maxBytes, settleMs = 50, pollMs = 5000, retryMs = 1000 } = options;
  let onReading: ((reading: SourceReading) => void) | undefined;
  let version: string | undefined;
  const stopped = new AbortController();
  const poller = new Poller({
    settleMs,
    pollMs,
    retryMs,
    ...(options.random && { random: options.random }),
    async read() {
      // Watch first: a change between watching and reading is then noticed.
      await folders.follow(path);
      const found = await readRested(
        { path, maxBytes, restMs: restsFor * settleMs },
        version,
        stopped.signal,
      );
      if (stopped.signal.aborted) return false;
      version = found.version;
      onReading?.(found.reading);
      return found.reading.state === "read";
    },
  });
  const folders = new Folders(() => poller.trigger());
  const readNow = (): void => poller.readNow();
  return {
    kind: "file",
    start(listener) {
      onReading = listener;
      readNow();
      process.on("SIGHUP", readNow);
    },
    async stop() {
      stopped.abort();
      process.off("SIGHUP", readNow);
      await poller.stop();
      folders.close();
    },
  };
}

interface Rested {
  readonly reading: SourceReading;
  /** "" = the file was not read. */
  readonly version: string;
}

/**
 * Reads the file once it has stopped changing: a half-written policy may be valid. Never rejects.
 * @param known version of the last reading; a file that still has it is read at once. undefined = take the file as it
 * is
 */
async function readRested(
  { path, maxBytes, restMs }: { path: string; maxBytes: number | undefined; restMs: number },
  known: string | undefined,
  signal: AbortSignal,
): Promise<Rested> {
  let last = known;
  for (let looks = 0; looks < maxLooks; looks += 1) {
    const version = await versionOf(path);
    if (version === (last ??= version)) {
      const reading = await readPolicyFile(path, maxBytes);
      if (known === undefined || (await versionOf(path)) === version) return { reading, version };
    }
    last = version;
    await wait(restMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
  }
  return { reading: { state: "failed", message: `${path} is being written all the time` }, version: "" };
}

/** @returns a text that differs after each change of the file */
async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(":");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "?";
  }
}

/** Reads the file once; also used for the policy file that stands in for Redis. Never rejects. */
export async function readPolicyFile(path: string, maxBytes = defaultMaxBytes): Promise<SourceReading> {
  try {
    // A pipe or a device would block the read or never end it.
    if (!(await stat(path)).isFile()) return { state: "failed", message: `${path} is not a regular file` };
    const file = await open(path);
    try {
      // One byte more than the limit tells the parser that the file is too long; the rest is not read.
      const buffer = Buffer.alloc(Math.min((await file.stat()).size, maxBytes * 2) + 1);
      let length = 0;
      for (let count = -1; count !== 0 && length < buffer.length; length += count) {
        count = (await file.read(buffer, length)).bytesRead;
      }
      return {
        state: "read",
        raw: { shared: buffer.subarray(0, length), layer: undefined, format: formatOf(path) },
      };
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "?";
    if (code === "ENOENT") return { state: "absent", message: `${path} does not exist` };
    return { state: "failed", message: `${path} cannot be read: ${code}` };
  }
}

/** @returns the format by the name's ending; `any` for other endings */
export function formatOf(path: string): PolicyFormat {
  const ending = extname(path).toLowerCase();
  if (ending === ".json") return "json";
  return ending === ".yaml" || ending === ".yml" ? "yaml" : "any";
}

/** Watches the folder of the path and the folder of the file behind its links: at most two watchers. */
class Folders {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  async follow(path: string): Promise<void> {
    const target = await realpath(path).catch(() => path);
    const wanted = new Set<string>();
    for (const folder of [dirname(path), dirname(target)]) {
      // The key holds the inode: a folder that was removed and made again needs a new watcher.
      const found = await stat(folder).catch(() => undefined);
      if (found === undefined) continue;
      const key = `${found.dev}:${found.ino}`;
      wanted.add(key);
      if (!this.#watchers.has(key)) this.#watch(key, folder);
    }
    for (const [key, watcher] of this.#watchers) {
      if (wanted.has(key)) continue;
      watcher.close();
      this.#watchers.delete(key);
    }
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watch(key: string, folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#onChange());
      watcher.on("error", () => {
        watcher.close();
        this.#watchers.delete(key);
      });
      this.#watchers.set(key, watcher);
    } catch {
      // The system has no more watches (ENOSPC, EMFILE): the poll still finds every change.
    }
  }
}
