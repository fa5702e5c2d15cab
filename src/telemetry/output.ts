// Writes all log lines to stdout: batched, off the caller's path, bounded. pino's own destination, SonicBoom 4.2.1,
// writes through the thread pool: with a stalled reader, `process.exit` then never returns.
import type { Writable } from "node:stream";

export interface OutputOptions {
  /** process.stdout, or any stream. Node writes a pipe without blocking, a file or terminal synchronously. */
  readonly stream: Writable;
  /** Most bytes that wait for a slow reader; further lines are dropped. */
  readonly maxBufferedBytes?: number;
  /** Longest time that a line waits for others to be written with it. */
  readonly delayMs?: number;
  /** Called with the number of lines dropped. */
  readonly onDrop?: (lines: number) => void;
  /** Called once when the stream fails (EPIPE: the reader is gone). All later lines are dropped and counted. */
  readonly onClosed?: (error: Error) => void;
}

export interface Output {
  /** @param text one line or several, each with its line end */
  write(text: string): void;
  /** @returns whether everything written so far reached the stream; after `timeoutMs` or a failure: false */
  flush(timeoutMs: number): Promise<boolean>;
}

function linesOf(text: string | Buffer): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

/** The capacity of a pipe on Linux: a longer write would be taken in parts. */
const blockBytes = 65_536;
/** Most UTF-8 bytes of one UTF-16 unit. */
const maxBytesPerUnit = 3;

class BatchedOutput implements Output {
  readonly #options: OutputOptions;
  readonly #stream: Writable;
  readonly #maxBytes: number;
  readonly #delayMs: number;
  readonly #flushed: (() => void)[] = [];
  /** Full blocks, next to be written. */
  #full: Buffer[] = [];
  // Lines are encoded to bytes at once. As strings, each would be kept as the dozens of pieces that it was concatenated
  // from, and the garbage collector would copy them all.
  #block: Buffer | undefined;
  #used = 0;
  /** A block that has been written and can be filled again. */
  #spare: Buffer | undefined;
  /** Bytes that wait, including the block being written. */
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #armed = false;
  #writing: Buffer | undefined;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.#stream = options.stream;
    this.#maxBytes = options.maxBufferedBytes ?? 8 * 1_048_576;
    this.#delayMs = options.delayMs ?? 10;
    this.#stream.on("error", (error: Error) => this.#close(error));
  }

  write(text: string): void {
    if (this.#closed || this.#bytes + text.length > this.#maxBytes) {
      this.#options.onDrop?.(linesOf(text));
      return;
    }
    this.#add(text);
    if (this.#writing !== undefined || this.#armed) return;
    this.#armed = true;
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#next(), this.#delayMs);
    else this.#timer.refresh();
  }

  #add(text: string): void {
    const most = text.length * maxBytesPerUnit;
    if (this.#used + most > blockBytes) this.#seal();
    if (most > blockBytes) {
      const own = Buffer.from(text);
      this.#full.push(own);
      this.#bytes += own.length;
      return;
    }
    if (this.#block === undefined) {
      this.#block = this.#spare ?? Buffer.allocUnsafeSlow(blockBytes);
      this.#spare = undefined;
    }
    const written = this.#block.write(text, this.#used);
    this.#used += written;
    this.#bytes += written;
  }

  #seal(): void {
    if (this.#block === undefined) return;
    this.#full.push(this.#block.subarray(0, this.#used));
    this.#block = undefined;
    this.#used = 0;
  }

  /** Writes the next block. Only one is in the stream at a time: the rest stays here, where its size is bounded. */
  #next(): void {
    this.#armed = false;
    if (this.#writing !== undefined || this.#closed) return;
    if (this.#full.length === 0) this.#seal();
    const bytes = this.#full.shift();
    if (bytes === undefined) {
      for (const done of this.#flushed.splice(0)) done();
      return;
    }
    this.#writing = bytes;
    this.#stream.write(bytes, (error) => {
      // The "error" listener handles a failed write.
      if (error) return;
      this.#writing = undefined;
      this.#bytes -= bytes.length;
      if (bytes.buffer.byteLength === blockBytes) this.#spare = Buffer.from(bytes.buffer);
      this.#next();
    });
  }

  /** Takes everything that waits, in order. */
  #take(): Buffer {
    this.#seal();
    return Buffer.concat(this.#full.splice(0));
  }

  #close(error: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const lost = linesOf(this.#take()) + (this.#writing === undefined ? 0 : linesOf(this.#writing));
    this.#bytes = 0;
    this.#options.onDrop?.(lost);
    this.#options.onClosed?.(error);
    for (const done of this.#flushed.splice(0)) done();
  }

  async flush(timeoutMs: number): Promise<boolean> {
    if (!this.#closed && this.#bytes > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const limit = setTimeout(resolve, timeoutMs);
      this.#flushed.push(resolve);
      this.#next();
      await promise;
      clearTimeout(limit);
    }
    return !this.#closed && this.#bytes === 0;
  }
}

export function createOutput(options: OutputOptions): Output {
  return new BatchedOutput(options);
}
