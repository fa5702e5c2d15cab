// The way of all log lines to stdout: batched, off the caller's path, bounded. It is our own because SonicBoom 4.2.1,
// pino's destination, writes through the thread pool: a reader that stalls then blocks `process.exit` for ever, and
// its `flushSync` spins for ever on EPIPE.
import { writeSync } from "node:fs";
import type { Writable } from "node:stream";

export interface OutputOptions {
  /** process.stdout, or any stream; a pipe is written without blocking, a file or terminal at once. */
  readonly stream: Writable;
  /** Its file descriptor, for `flushSync`. */
  readonly fd?: number;
  /** Most characters that wait for a slow reader; lines past it are dropped. */
  readonly maxBufferedChars?: number;
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
  /** For the last breath: writes what it can within 100 ms, holding up the process. */
  flushSync(): void;
}

function linesOf(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

const batchChars = 32_768;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

class BatchedOutput implements Output {
  readonly #options: OutputOptions;
  readonly #stream: Writable;
  readonly #maxChars: number;
  readonly #delayMs: number;
  readonly #flushed: (() => void)[] = [];
  #batches: string[] = [];
  #chars = 0;
  #timer: NodeJS.Timeout | undefined;
  #armed = false;
  #writing: string | undefined;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.#stream = options.stream;
    this.#maxChars = options.maxBufferedChars ?? 8 * 1_048_576;
    this.#delayMs = options.delayMs ?? 10;
    this.#stream.on("error", (error: Error) => this.#close(error));
  }

  write(text: string): void {
    if (this.#closed || this.#chars + text.length > this.#maxChars) {
      this.#options.onDrop?.(linesOf(text));
      return;
    }
    const last = this.#batches.length - 1;
    if (last >= 0 && (this.#batches[last] as string).length < batchChars) this.#batches[last] += text;
    else this.#batches.push(text);
    this.#chars += text.length;
    if (this.#writing !== undefined || this.#armed) return;
    this.#armed = true;
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#next(), this.#delayMs);
    else this.#timer.refresh();
  }

  /** Sends the next batch; one at a time, so that what waits stays ours to bound. */
  #next(): void {
    this.#armed = false;
    if (this.#writing !== undefined || this.#closed) return;
    const batch = this.#batches.shift();
    if (batch === undefined) {
      for (const done of this.#flushed.splice(0)) done();
      return;
    }
    this.#writing = batch;
    this.#stream.write(batch, (error) => {
      // A failed write also shows as 'error'.
      if (error) return;
      this.#writing = undefined;
      this.#chars -= batch.length;
      this.#next();
    });
  }

  #close(error: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const lost = (this.#writing ?? "") + this.#batches.join("");
    this.#batches = [];
    this.#chars = 0;
    this.#options.onDrop?.(linesOf(lost));
    this.#options.onClosed?.(error);
    for (const done of this.#flushed.splice(0)) done();
  }

  async flush(timeoutMs: number): Promise<boolean> {
    if (!this.#closed && this.#chars > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const limit = setTimeout(resolve, timeoutMs);
      this.#flushed.push(resolve);
      this.#next();
      await promise;
      clearTimeout(limit);
    }
    return !this.#closed && this.#chars === 0;
  }

  flushSync(): void {
    // A batch under way means that the reader stalls: the kernel holds part of it, and only the event loop can go on.
    if (this.#closed || this.#writing !== undefined) return;
    let rest = Buffer.from(this.#batches.join(""));
    const until = Date.now() + 100;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#options.fd ?? 1, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || Date.now() >= until) return;
        Atomics.wait(sleeper, 0, 0, 5);
      }
    }
    this.#batches = [];
    this.#chars = 0;
  }
}

export function createOutput(options: OutputOptions): Output {
  return new BatchedOutput(options);
}
