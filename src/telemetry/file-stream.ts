// stdout when it is a file. Node's own stream for files (26.10) is over for good after one error and loses the rest of a
// write that the disk took in part: a disk that was full for a second would end the log.
import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";

export interface FileStreamOptions {
  readonly fd: number;
  /** Called before each write; what it throws has failed. */
  readonly checkDisk?: (() => void) | undefined;
  /** Called when a write has failed; it is tried again until it succeeds. */
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
      // A half-written line is ended by its other half, once there is room.
      setTimeout(() => this.#put(bytes, at, done), this.#retryMs).unref();
      return;
    }
    const recovered = this.#retryMs > 0;
    this.#retryMs = 0;
    // Makes room first: the line that says so must find some.
    done();
    if (recovered) onRecovered();
  }
}

/** Whether a descriptor is a file, or a device that is no terminal: written at once, with errors that pass. */
export function isFile(fd: number, isTerminal: boolean): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() || (stats.isCharacterDevice() && !isTerminal);
  } catch {
    return false;
  }
}
