// Keeps packages on disk by digest, so that a restart needs neither Redis nor a registry. The workers of a sidecar
// share the folder. A file is only used while its digest equals its name.
import { readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomically } from "../files/atomic-file.ts";
import type { CheckDisk } from "../files/check-disk.ts";
import { makeFolder } from "../files/make-folder.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { readPackageFile } from "./file-source.ts";
import { digestOf } from "./package.ts";

export interface KeptOptions {
  /** Created if it does not exist. */
  readonly dir: string;
  readonly maxBytes?: number;
  /** Called when something goes wrong on disk and when it works again. Only the next start depends on the files. */
  readonly onTrouble: (message: string) => void;
  readonly checkDisk?: CheckDisk | undefined;
  /** Delay in milliseconds before the first retry of a failed write; it doubles each time, up to a minute. */
  readonly retryMs?: number | undefined;
}

const maxRetryMs = 60_000;
export const maxKeptBytes = 256 * 1_048_576;

export class KeptPackages {
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #onTrouble: (message: string) => void;
  readonly #checkDisk: CheckDisk | undefined;
  readonly #retryMs: number;
  /** Packages still to be written, by digest: those of the last policy asked for and of the policy in force. */
  #pending = new Map<string, Buffer>();
  #inUse: ReadonlySet<string> = new Set();
  #retry: NodeJS.Timeout | undefined;

  constructor({ dir, maxBytes = maxKeptBytes, onTrouble, checkDisk, retryMs = 1_000 }: KeptOptions) {
    this.#retryMs = retryMs;
    this.#checkDisk = checkDisk;
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#onTrouble = onTrouble;
  }

  /** @returns undefined when it is missing or damaged (it is then removed). Never rejects */
  async read(sha256: string): Promise<Buffer | undefined> {
    const path = join(this.#dir, sha256);
    const bytes = await readPackageFile(path).catch(() => undefined);
    if (bytes === undefined || digestOf(bytes) === sha256) return bytes;
    this.#onTrouble(`${path} is damaged: its digest is not its name; it is removed and fetched again`);
    await rm(path, { force: true }).catch(() => {});
    return undefined;
  }

  /** Never rejects; a failed write is retried. @param inUse digests that are not evicted, however old */
  async write(sha256: string, bytes: Buffer, inUse: ReadonlySet<string>): Promise<void> {
    const error = await this.#tryWrite(sha256, bytes, inUse);
    if (error === undefined) return;
    this.#onTrouble(`the package could not be kept in ${this.#pathOf(sha256)}: ${error}; it is tried again`);
    // Otherwise policies that are refused one after the other would fill the memory.
    this.#dropPending((digest) => inUse.has(digest) || this.#inUse.has(digest));
    this.#pending.set(sha256, bytes);
    this.#retryAfter(this.#retryMs);
  }

  /** Marks these as in use: they are evicted last, and pending writes of others are dropped. Never rejects. */
  async use(digests: ReadonlySet<string>): Promise<void> {
    this.#inUse = digests;
    this.#dropPending((digest) => digests.has(digest));
    const now = new Date();
    for (const sha256 of digests) await utimes(this.#pathOf(sha256), now, now).catch(() => {});
  }

  #dropPending(stays: (sha256: string) => boolean): void {
    for (const sha256 of this.#pending.keys()) if (!stays(sha256)) this.#pending.delete(sha256);
  }

  #pathOf(sha256: string): string {
    return join(this.#dir, sha256);
  }

  /** @returns why the write failed; undefined = it succeeded */
  async #tryWrite(sha256: string, bytes: Buffer, inUse: ReadonlySet<string>): Promise<string | undefined> {
    try {
      this.#checkDisk?.();
      await makeFolder(this.#dir);
      await this.#makeRoom(bytes.length, inUse);
      await writeAtomically(this.#dir, this.#pathOf(sha256), bytes);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? textOf(error);
    }
  }

  #retryAfter(delayMs: number): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#writePending(delayMs), delayMs).unref();
  }

  /** Never rejects. */
  async #writePending(delayMs: number): Promise<void> {
    for (const [sha256, bytes] of this.#pending) {
      // The disk is as full for the next package.
      if ((await this.#tryWrite(sha256, bytes, this.#inUse)) !== undefined) break;
      this.#pending.delete(sha256);
      this.#onTrouble(`the package is kept in ${this.#pathOf(sha256)} now`);
    }
    if (this.#pending.size > 0) this.#retryAfter(Math.min(2 * delayMs, maxRetryMs));
  }

  /** Evicts the oldest files first, including half-written files of processes that ended. */
  async #makeRoom(bytes: number, inUse: ReadonlySet<string>): Promise<void> {
    const files: { path: string; name: string; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#dir)) {
      if (!/^[0-9a-f]{64}(\.\d+\.tmp)?$/.test(name)) continue;
      const path = join(this.#dir, name);
      // Another worker may have removed it already.
      const found = await stat(path).catch(() => undefined);
      if (found?.isFile()) files.push({ path, name, size: found.size, mtimeMs: found.mtimeMs });
    }
    let total = files.reduce((sum, { size }) => sum + size, bytes);
    for (const { path, name, size } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.#maxBytes) return;
      if (inUse.has(name)) continue;
      await rm(path, { force: true });
      total -= size;
    }
  }
}
