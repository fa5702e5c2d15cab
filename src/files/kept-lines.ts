// Keeps lines of plugins over restarts, in OUTRIGGER_STATE_DIR. There is one file for each day on which lines expire,
// so that old lines go by whole files and no file is rewritten. All workers of a sidecar append to the same files and
// read them.
import { appendFile, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CheckDisk } from "./check-disk.ts";
import { makeFolder } from "./make-folder.ts";
import type { Clock, KeptLines } from "../plugin-api/contract.ts";

const dayMs = 86_400_000;
/** Far more than a day brings; a damaged folder must not fill the memory. */
const maxBytes = 16 * 1_048_576;

export class FolderLines implements KeptLines {
  readonly #dir: string;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #checkDisk: CheckDisk | undefined;
  /** Bytes read so far, by file. */
  readonly #read = new Map<string, number>();

  /** @param dir made if missing */
  constructor(dir: string, name: string, service: string, clock: Clock, checkDisk?: CheckDisk) {
    this.#checkDisk = checkDisk;
    this.#dir = dir;
    this.#prefix = `${name}-${service}.`;
    this.#clock = clock;
  }

  async append(line: string, untilMs: number): Promise<void> {
    this.#checkDisk?.();
    await makeFolder(this.#dir);
    const day = Math.floor(untilMs / dayMs) + 1;
    await appendFile(join(this.#dir, `${this.#prefix}${day}`), `${line}\n`, { mode: 0o600, flush: true });
  }

  async fresh(): Promise<readonly string[]> {
    const lines: string[] = [];
    for (const file of await this.#files()) {
      const day = Number(file.slice(this.#prefix.length));
      if (day * dayMs > this.#clock.now()) lines.push(...(await this.#freshOf(file)));
      else {
        this.#read.delete(file);
        await rm(join(this.#dir, file), { force: true });
      }
    }
    return lines;
  }

  async #files(): Promise<string[]> {
    try {
      const files = await readdir(this.#dir);
      return files.filter(
        (file) => file.startsWith(this.#prefix) && /^\d{1,9}$/.test(file.slice(this.#prefix.length)),
      );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  async #freshOf(file: string): Promise<string[]> {
    const from = this.#read.get(file) ?? 0;
    const handle = await open(join(this.#dir, file));
    try {
      const { size } = await handle.stat();
      const bytes = Buffer.alloc(Math.max(0, Math.min(size, maxBytes) - from));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
      // The last line may not be complete yet.
      const end = bytes.subarray(0, bytesRead).lastIndexOf(0x0a) + 1;
      this.#read.set(file, from + end);
      return end === 0 ? [] : bytes.toString("utf8", 0, end - 1).split("\n");
    } finally {
      await handle.close();
    }
  }
}
