// Keeps a chain in files: one current file, and older ones renamed to the time at which they were put aside. A line is
// written whole or not at all, also if the process ends or the disk is full.
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { CheckDisk } from "../files/check-disk.ts";
import { makeFolder } from "../files/make-folder.ts";
import type { Clock } from "../plugin-api/contract.ts";
import { textOf } from "../plugin-api/error-text.ts";
import type { Tail } from "./chain.ts";
import { hashOf, parseRecord } from "./record.ts";
import type { Found, Sink, Written } from "./sink.ts";

export interface FileSinkOptions {
  readonly path: string;
  /** Bound on all files together. */
  readonly maxBytes: number;
  /** Files whose last record is older are deleted. */
  readonly retentionMs: number;
  /** Whether a batch counts as written only when it is on the disk (fdatasync). */
  readonly sync: boolean;
  readonly clock: Clock;
  readonly checkDisk?: CheckDisk | undefined;
}

/** One file takes at most this part of `maxBytes`: so much is lost at once when the oldest file is deleted. */
const parts = 16;
/** More than the longest record. */
const tailBytes = 1_048_576;
const pruneEveryMs = 3_600_000;

export class FileSink implements Sink {
  readonly #options: FileSinkOptions;
  #file: FileHandle | undefined;
  /** Bytes of complete lines; anything after them is not part of the chain. */
  #size = 0;
  /** Whether a write failed. Its remains are cut off before the next write. */
  #torn = false;
  #day = "";
  #prunedAtMs = -Infinity;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  async open(name: string): Promise<Found> {
    const { path } = this.#options;
    await makeFolder(dirname(path));
    const last = await this.#openLast();
    const before = last.tail ?? (await this.#tailBefore());
    this.#day = last.day ?? this.#today();
    if (before === undefined || before.chain === name) {
      if (last.damaged) await this.#putAside();
      return { tail: before, repaired: last.repaired };
    }
    await this.#putAside();
    return { after: before, repaired: last.repaired };
  }

  async write(lines: readonly string[]): Promise<Written> {
    const bytes = Buffer.from(`${lines.join("\n")}\n`);
    const { path, maxBytes, sync, checkDisk } = this.#options;
    checkDisk?.();
    if (this.#file === undefined) await this.#reopen();
    const { size, ino } = await (this.#file as FileHandle).stat();
    const there = await sizeAndInode(path);
    const isThere = there?.ino === ino;
    if (this.#torn) await (this.#file as FileHandle).truncate(this.#size);
    else if (isThere && size !== this.#size) throw new Error(`${path} is written by another process, too`);
    if (!isThere) {
      // Somebody deleted or renamed the file: continue at the configured path. The chain shows what is gone.
      if (there !== undefined && there.size > 0) throw new Error(`${path} was replaced by another file`);
      await this.#reopen();
    }
    const isFull = this.#size > 0 && this.#size + bytes.length > maxBytes / parts;
    if (isFull || (this.#size > 0 && this.#day !== this.#today())) await this.#putAside();
    this.#torn = true;
    for (let at = 0; at < bytes.length;)
      at += (await (this.#file as FileHandle).write(bytes, at)).bytesWritten;
    if (sync) await (this.#file as FileHandle).datasync();
    this.#torn = false;
    this.#size += bytes.length;
    return Math.abs(this.#options.clock.now() - this.#prunedAtMs) > pruneEveryMs ? await this.#prune() : {};
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    await file.sync().catch(() => {});
    await file.close();
  }

  #today(): string {
    return new Date(this.#options.clock.now()).toISOString().slice(0, 10);
  }

  async #reopen(): Promise<void> {
    await this.#file?.close();
    this.#file = await open(this.#options.path, "a+", 0o600);
    this.#size = (await this.#file.stat()).size;
    this.#torn = false;
  }

  async #openLast(): Promise<LastFile> {
    await this.#reopen();
    const file = this.#file as FileHandle;
    const last = await lastLine(file, this.#size);
    const repaired: Record<string, unknown> = {};
    if (last.rest.length > 0) {
      // The process or the machine stopped in the middle of a write.
      repaired["tornBytes"] = last.rest.length;
      await file.truncate(this.#size - last.rest.length);
      this.#size -= last.rest.length;
    }
    const record = last.line === undefined ? undefined : parseRecord(last.line);
    const damaged = this.#size > 0 && record === undefined;
    if (damaged) repaired["putAside"] = true;
    const day = typeof record?.["at"] === "string" ? record["at"].slice(0, 10) : undefined;
    return {
      tail: record && { chain: record.chain, seq: record.seq, hash: hashOf(last.line as string) },
      day,
      damaged,
      repaired: Object.keys(repaired).length > 0 ? repaired : undefined,
    };
  }

  /** The last record of the newest file that was put aside. */
  async #tailBefore(): Promise<Tail | undefined> {
    const newest = (await this.#aside()).at(-1);
    return newest === undefined ? undefined : await tailOf(newest);
  }

  async #aside(): Promise<string[]> {
    return await filesBefore(this.#options.path);
  }

  async #putAside(): Promise<void> {
    const { path, clock } = this.#options;
    const file = this.#file;
    this.#file = undefined;
    await file?.sync();
    await file?.close();
    const taken = new Set(await this.#aside());
    // A clock that was set back must not sort the file before older ones, or overwrite one of them.
    const newest = [...taken].at(-1)?.slice(path.length + 1) ?? "";
    let stamp = stampOf(clock.now());
    if (stamp <= newest) stamp = `${newest}+`;
    if (this.#size > 0) await rename(path, `${path}.${stamp}`);
    await this.#reopen();
    this.#day = this.#today();
    this.#prunedAtMs = -Infinity;
  }

  /** Deletes whole files: those that are too old, and the oldest ones while there are too many bytes. */
  async #prune(): Promise<Written> {
    const { maxBytes, retentionMs, clock } = this.#options;
    this.#prunedAtMs = clock.now();
    let pruned: Tail | undefined;
    try {
      const files = await this.#aside();
      const stats = await Promise.all(files.map((file) => stat(file)));
      let total = this.#size + stats.reduce((sum, { size }) => sum + size, 0);
      for (const [at, file] of files.entries()) {
        const { size, mtimeMs } = stats[at] as { size: number; mtimeMs: number };
        if (total <= maxBytes && clock.now() - mtimeMs <= retentionMs) break;
        const tail = await tailOf(file);
        await rm(file, { force: true });
        pruned = tail ?? pruned;
        total -= size;
      }
      return { pruned };
    } catch (error) {
      // The lines are already written: an error here must not cause them to be written again.
      return { pruned, unpruned: textOf(error) };
    }
  }
}

interface LastFile {
  readonly tail: Tail | undefined;
  readonly day: string | undefined;
  /** The last line is not a record. */
  readonly damaged: boolean;
  readonly repaired: Readonly<Record<string, unknown>> | undefined;
}

const stampOf = (ms: number): string => new Date(ms).toISOString().replaceAll(/[-:.]/g, "");

async function sizeAndInode(path: string): Promise<{ size: number; ino: number } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The files that were put aside from this one, oldest first. */
export async function filesBefore(path: string): Promise<string[]> {
  const name = `${basename(path)}.`;
  const files = await readdir(dirname(path));
  return files
    .filter((file) => file.startsWith(name) && /^\d{8}T\d{9}Z\+*$/.test(file.slice(name.length)))
    .sort()
    .map((file) => join(dirname(path), file));
}

async function lastLine(
  file: FileHandle,
  size: number,
): Promise<{ readonly line: string | undefined; readonly rest: Buffer }> {
  const from = Math.max(0, size - tailBytes);
  const bytes = Buffer.alloc(size - from);
  await file.read(bytes, 0, bytes.length, from);
  const end = bytes.lastIndexOf(0x0a);
  const rest = bytes.subarray(end + 1);
  if (end === -1) return { line: undefined, rest };
  const start = bytes.lastIndexOf(0x0a, end - 1) + 1;
  return { line: end === 0 ? "" : bytes.toString("utf8", start, end), rest };
}

async function tailOf(path: string): Promise<Tail | undefined> {
  const file = await open(path);
  try {
    const { line } = await lastLine(file, (await file.stat()).size);
    const record = line === undefined ? undefined : parseRecord(line);
    return record && { chain: record.chain, seq: record.seq, hash: hashOf(line as string) };
  } finally {
    await file.close();
  }
}
