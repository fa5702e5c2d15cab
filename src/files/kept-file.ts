// A file in which something is kept for the next start: written in the background, and again until it is there, since a
// disk that was full has room some time later.
import { removeLeftovers, writeAtomically } from "./atomic-file.ts";
import type { CheckDisk } from "./check-disk.ts";
import { makeFolder } from "./make-folder.ts";

const retryMs = 5_000;

export interface KeptFileOptions {
  /** Made when it is not there. */
  readonly dir: string;
  readonly path: string;
  readonly checkDisk?: CheckDisk | undefined;
  /** Why what was to be kept could not be; told once for each. */
  readonly onTrouble: (error: unknown) => void;
  readonly retryMs?: number | undefined;
}

export class KeptFile {
  readonly #options: KeptFileOptions;
  #latest: (() => string) | undefined;
  /** Written once more where nothing newer comes. */
  #failed: (() => string) | undefined;
  #saving: Promise<void> | undefined;
  #tidied: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: KeptFileOptions) {
    this.#options = options;
  }

  /**
   * Removes what a process that ended in the middle of a write left behind; never rejects. Once, and before anything is
   * written: later it would be what is being written.
   */
  tidy(): Promise<void> {
    const { dir, path } = this.#options;
    return (this.#tidied ??= removeLeftovers(dir, path));
  }

  /** Of several only the latest is written. */
  save(text: () => string): void {
    this.#latest = text;
    // Not before the caller is done: one that fails at once would be over before it is known to be under way.
    this.#saving ??= Promise.resolve().then(() => this.#saveAll());
  }

  /** Resolves when all that can be is written; what could not be is not tried again. */
  async settled(): Promise<void> {
    await this.#saving;
    clearTimeout(this.#retry);
  }

  async #saveAll(): Promise<void> {
    const { dir, path, checkDisk, onTrouble } = this.#options;
    clearTimeout(this.#retry);
    await this.tidy();
    while (this.#latest !== undefined) {
      const text = this.#latest;
      this.#latest = undefined;
      try {
        checkDisk?.();
        await makeFolder(dir);
        await writeAtomically(dir, path, text());
        this.#failed = undefined;
      } catch (error) {
        if (text !== this.#failed) onTrouble(error);
        this.#failed = text;
      }
    }
    this.#saving = undefined;
    const failed = this.#failed;
    if (failed !== undefined)
      this.#retry = setTimeout(() => this.save(failed), this.#options.retryMs ?? retryMs).unref();
  }
}
