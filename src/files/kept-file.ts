// Keeps content in a file for the next start. It is written in the background, and retried until it succeeds, since a
// full disk may have space later.
import { removeLeftovers, writeAtomically } from "./atomic-file.ts";
import type { CheckDisk } from "./check-disk.ts";
import { makeFolder } from "./make-folder.ts";

const retryMs = 5_000;

export interface KeptFileOptions {
  /** The folder; made if missing. */
  readonly dir: string;
  readonly path: string;
  readonly checkDisk?: CheckDisk | undefined;
  /** Reports why a write failed; called once for each failed content. */
  readonly onTrouble: (error: unknown) => void;
  readonly retryMs?: number | undefined;
}

export class KeptFile {
  readonly #options: KeptFileOptions;
  #latest: (() => string) | undefined;
  /** Content whose write failed; written again unless newer content comes. */
  #failed: (() => string) | undefined;
  #saving: Promise<void> | undefined;
  #tidied: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: KeptFileOptions) {
    this.#options = options;
  }

  /**
   * Removes temporary files that an ended process left behind; never rejects. It runs once, before the first write:
   * later it would remove a file that is being written.
   */
  tidy(): Promise<void> {
    const { dir, path } = this.#options;
    return (this.#tidied ??= removeLeftovers(dir, path));
  }

  /** Writes content in the background; of several waiting contents only the latest is written. */
  save(text: () => string): void {
    this.#latest = text;
    // Deferred until the caller is done: a write that fails at once would otherwise end before `#saving` is set.
    this.#saving ??= Promise.resolve().then(() => this.#saveAll());
  }

  /** Resolves when everything possible is written; failed content is not retried any more. */
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
