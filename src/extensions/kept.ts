// Packages on disk by their digest, so that a restart needs no Redis and no registry. Workers of a sidecar share the
// folder. What lies there counts only while its digest is its name.
import { readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomically } from "../files/atomic-file.ts";
import type { CheckDisk } from "../files/check-disk.ts";
import { makeFolder } from "../files/make-folder.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { readPackageFile } from "./file-source.ts";
import { digestOf } from "./package.ts";

export interface KeptOptions {
  /** Made when it is not there. */
  readonly dir: string;
  readonly maxBytes?: number;
  /** Told what went wrong on disk; nothing depends on it but the next start. */
  readonly onTrouble: (message: string) => void;
  readonly checkDisk?: CheckDisk | undefined;
}

export const maxKeptBytes = 256 * 1_048_576;

export class KeptPackages {
  readonly #dir: string;
  readonly #maxBytes: number;
  readonly #onTrouble: (message: string) => void;
  readonly #checkDisk: CheckDisk | undefined;

  constructor({ dir, maxBytes = maxKeptBytes, onTrouble, checkDisk }: KeptOptions) {
    this.#checkDisk = checkDisk;
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    this.#onTrouble = onTrouble;
  }

  /** @returns undefined when it is not there, or damaged (it goes then). Never rejects */
  async read(sha256: string): Promise<Buffer | undefined> {
    const path = join(this.#dir, sha256);
    const bytes = await readPackageFile(path).catch(() => undefined);
    if (bytes === undefined || digestOf(bytes) === sha256) return bytes;
    this.#onTrouble(`${path} is damaged: its digest is not its name; it is removed and fetched again`);
    await rm(path, { force: true }).catch(() => {});
    return undefined;
  }

  /** Never rejects. @param inUse digests that stay, however old */
  async write(sha256: string, bytes: Buffer, inUse: ReadonlySet<string>): Promise<void> {
    const path = join(this.#dir, sha256);
    try {
      this.#checkDisk?.();
      await makeFolder(this.#dir);
      await this.#makeRoom(bytes.length, inUse);
      await writeAtomically(this.#dir, path, bytes);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#onTrouble(`the package could not be kept in ${path}: ${code ?? textOf(error)}`);
    }
  }

  /** These are in use: they go last. Never rejects. */
  async touch(digests: Iterable<string>): Promise<void> {
    const now = new Date();
    for (const sha256 of digests) await utimes(join(this.#dir, sha256), now, now).catch(() => {});
  }

  /** Oldest first; half-written files of processes that ended too. */
  async #makeRoom(bytes: number, inUse: ReadonlySet<string>): Promise<void> {
    const files: { path: string; name: string; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#dir)) {
      if (!/^[0-9a-f]{64}(\.\d+\.tmp)?$/.test(name)) continue;
      const path = join(this.#dir, name);
      // Another worker may have been faster.
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
