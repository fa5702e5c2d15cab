// Writes stdout when it is a file. Node's own stream for files (26.10) ends at the first error and loses the rest of a
// partial write: a disk that is full for a second would end the log.
import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";

export interface FileStreamOptions {
  readonly fd: number;
  /** Called before each write; if it throws, the write counts as failed. */
  readonly checkDisk?: (() => void) | undefined;
  /** Called when a write fails. The write is retried until it succeeds. */
  readonly onFailed: (error: Error) => void;
  /** Called when the file takes bytes again. */
  readonly onRecovered: () => void;
}

const firstRetryMs = 100;
const lastRetryMs = 5_000;

export class FileStream extends Writable {
  readonly #options: FileStreamOptions;
  #retryMs = 0;

  constructor(options: FileStreamOptions) {
    super();
    this.#options = options;
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#put(bytes, 0, done);
  }

  #put(bytes: Buffer, from: number, done: () => void): void {
    const { fd, checkDisk, onFailed, onRecovered } = this.#options;
    let at = from;
    try {
      checkDisk?.();
      while (at < bytes.length) at += writeSync(fd, bytes, at);
    } catch (error) {
      if (this.#retryMs === 0) onFailed(error as Error);
      this.#retryMs = Math.min(Math.max(firstRetryMs, this.#retryMs * 2), lastRetryMs);
      // The retry continues where the write stopped, so a half-written line is completed.
      setTimeout(() => this.#put(bytes, at, done), this.#retryMs).unref();
      return;
    }
    const recovered = this.#retryMs > 0;
    this.#retryMs = 0;
    // done() first: it frees the place in the stream that the line about the recovery needs.
    done();
    if (recovered) onRecovered();
  }
}

/** Whether a descriptor is a file, or a device other than a terminal: writes are synchronous, and errors pass. */
export function isFile(fd: number, isTerminal: boolean): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() || (stats.isCharacterDevice() && !isTerminal);
  } catch {
    return false;
  }
}
