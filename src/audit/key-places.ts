// Stores subjects' keys: in Redis one hash per month, which expires when its records are gone; without Redis, one file
// per month beside the trail.
import type { BigIntStats } from "node:fs";
import { type FileHandle, open, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { CheckDisk } from "../files/check-disk.ts";
import { makeFolder } from "../files/make-folder.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import type { KeyPlace, WrappedKey } from "./subject-keys.ts";

const limitMs = 1_000;

const obtain: Script = {
  name: "audit-subject-keys",
  lua: `
local kept = {}
for i = 2, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
  kept[#kept + 1] = redis.call('HGET', KEYS[1], ARGV[i])
end
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return kept`,
};

export const keysKey = (service: string, period: string): string => `audit:${service}:keys:${period}`;

export class RedisKeyPlace implements KeyPlace {
  readonly #store: Store;
  readonly #service: string;
  readonly #keepMs: number;

  /** @param keepMs how long a month's hash is kept, from its first key on */
  constructor(store: Store, service: string, keepMs: number) {
    this.#store = store;
    this.#service = service;
    this.#keepMs = keepMs;
  }

  async obtain(period: string, offered: readonly WrappedKey[]): Promise<readonly string[]> {
    const args = [this.#keepMs, ...offered.flatMap(({ name, wrapped }) => [name, wrapped])];
    const kept = await this.#store.run(obtain, [keysKey(this.#service, period)], args, limitMs);
    if (!Array.isArray(kept) || kept.length !== offered.length) throw new Error("an answer of another form");
    return (kept as unknown[]).map(String);
  }
}

/** A line holds name and key. Deleted lines are blank, incomplete lines do not match. */
const linePattern = /^([A-Za-z0-9_~-]+) ([A-Za-z0-9_-]{80})$/gm;
const maxBytes = 256 * 1_048_576;

/** The key file of a month. */
export const keyFileOf = (auditFile: string, period: string): string => `${auditFile}.keys.${period}`;

/** The months that have a key file, oldest first. */
export async function keyPeriodsOf(auditFile: string): Promise<string[]> {
  const prefix = basename(keyFileOf(auditFile, ""));
  const files = await readdir(dirname(auditFile));
  return files
    .filter((file) => file.startsWith(prefix))
    .map((file) => file.slice(prefix.length))
    .filter((period) => /^\d{4}-\d{2}$/.test(period))
    .sort();
}

/** Identity of a file's content: unchanged as long as nobody writes to it. */
const seenOf = ({ ino, size, mtimeNs }: BigIntStats): string => [ino, size, mtimeNs].join();
const noFile = "none";
const readAgainMs = 60_000;

export class FileKeyPlace implements KeyPlace {
  readonly #auditFile: string;
  readonly #keepMs: number;
  readonly #checkDisk: CheckDisk | undefined;
  readonly #known = new Map<string, string>();
  #period = "";
  #seen = "";
  /** Whether some of `#known` was written by this process and not read back. */
  #grown = false;
  #readMono = 0;

  /** @param keepMs how long a month's file is kept, from the beginning of the month on */
  constructor(auditFile: string, keepMs: number, checkDisk?: CheckDisk) {
    this.#checkDisk = checkDisk;
    this.#auditFile = auditFile;
    this.#keepMs = keepMs;
  }

  async obtain(period: string, offered: readonly WrappedKey[]): Promise<readonly string[]> {
    if (period !== this.#period) await this.#turn(period);
    await this.#read();
    const fresh = new Map<string, string>();
    const kept = offered.map(({ name, wrapped }) => {
      const known = this.#known.get(name);
      if (known === undefined) fresh.set(name, wrapped);
      return known ?? wrapped;
    });
    if (fresh.size > 0) await this.#append(fresh);
    return kept;
  }

  /** A new month begins: deletes key files whose records are gone. */
  async #turn(period: string): Promise<void> {
    await makeFolder(dirname(this.#auditFile));
    for (const old of await keyPeriodsOf(this.#auditFile))
      if (Date.parse(`${old}-01`) + this.#keepMs < Date.parse(`${period}-01`))
        await rm(keyFileOf(this.#auditFile, old), { force: true });
    this.#period = period;
    this.#seen = "";
  }

  async #append(fresh: ReadonlyMap<string, string>): Promise<void> {
    const text = `${[...fresh].map(([name, wrapped]) => `\n${name} ${wrapped}`).join("")}\n`;
    this.#checkDisk?.();
    const file = await open(keyFileOf(this.#auditFile, this.#period), "a", 0o600);
    try {
      const before = await file.stat({ bigint: true });
      await file.writeFile(text);
      await file.datasync();
      const after = await file.stat({ bigint: true });
      const isOurs = this.#seen === (before.size === 0n ? noFile : seenOf(before));
      if (!isOurs || after.size !== before.size + BigInt(text.length)) return;
      // While only this process appends lines, the file need not be read again.
      for (const [name, wrapped] of fresh) this.#known.set(name, wrapped);
      this.#seen = seenOf(after);
      this.#grown = true;
    } finally {
      await file.close();
    }
  }

  /** Reads the file again only if it has changed: somebody may have deleted keys. */
  async #read(): Promise<void> {
    const path = keyFileOf(this.#auditFile, this.#period);
    const found = await stat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    const seen = found === undefined ? noFile : seenOf(found);
    // A deletion at the very moment of an append here is not noticed; this limits how long.
    const isOld = this.#grown && performance.now() - this.#readMono > readAgainMs;
    if (seen === this.#seen && !isOld) return;
    this.#known.clear();
    for (const { name, wrapped } of await readKeyFile(path)) this.#known.set(name, wrapped);
    this.#seen = seen;
    this.#grown = false;
    this.#readMono = performance.now();
  }
}

export interface KeyLine extends WrappedKey {
  /** Offset of the line in the file, and its length in bytes without the line end. */
  readonly at: number;
  readonly bytes: number;
}

/** @returns an empty list when there is no such file */
export async function readKeyFile(path: string): Promise<KeyLine[]> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`);
    // Latin-1 makes an index into the text equal to an offset in the file.
    const text = (await file.readFile()).toString("latin1");
    return [...text.matchAll(linePattern)].map((match) => {
      const [line, name = "", wrapped = ""] = match;
      return { name, wrapped, at: match.index, bytes: line.length };
    });
  } finally {
    await file.close();
  }
}
