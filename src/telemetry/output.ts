// The way of all log lines to stdout: batched, off the caller's path, bounded. It is our own because SonicBoom 4.2.1,
// pino's destination, writes through the thread pool: a reader that stalls then blocks `process.exit` for ever.
import type { Writable } from "node:stream";

export interface OutputOptions {
  /** process.stdout, or any stream; a pipe is written without blocking, a file or terminal at once. */
  readonly stream: Writable;
  /** Most bytes that wait for a slow reader; lines past it are dropped. */
  readonly maxBufferedBytes?: number;
  /** Longest time that a line waits for others to go with it. */
  readonly delayMs?: number;
  /** Called for each line that was dropped. */
  readonly onDrop?: (lines: number) => void;
  /** Called once when the stream has failed (EPIPE: the reader is gone); all later lines are dropped and counted. */
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

/** What a pipe holds on Linux: a longer write is taken in parts. */
const blockBytes = 65_536;
/** UTF-8 of one UTF-16 unit. */
const maxBytesPerUnit = 3;

class BatchedOutput implements Output {
  readonly #options: OutputOptions;
  readonly #stream: Writable;
  readonly #maxBytes: number;
  readonly #delayMs: number;
  readonly #flushed: (() => void)[] = [];
  /** Full, and next to be written. */
  #full: Buffer[] = [];
  // Lines become bytes at once: as text, each of them would wait as the dozens of pieces it was put together from, and
  // the collector would copy them all.
  #block: Buffer | undefined;
  #used = 0;
  /** Written out, to be filled again. */
  #spare: Buffer | undefined;
  /** All that waits, with what is being written. */
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

  /** Sends the next block; one at a time, so that what waits stays ours to bound. */
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
      // A failed write also shows as 'error'.
      if (error) return;
      this.#writing = undefined;
      this.#bytes -= bytes.length;
      if (bytes.buffer.byteLength === blockBytes) this.#spare = Buffer.from(bytes.buffer);
      this.#next();
    });
  }

  /** Everything that waits, in order. */
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
