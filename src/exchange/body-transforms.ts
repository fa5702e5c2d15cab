// Runs a response body through the streams of plugins. They are third-party code: one that fails, ends early or stalls
// must not leave the client waiting, nor crash the process.
import type { Duplex } from "node:stream";

export interface TransformEvents {
  /** Takes output bytes. @returns false = wait for `resume` */
  out(bytes: Buffer): boolean;
  /** All output was passed on. */
  ended(): void;
  /** More input can be written. */
  writable(): void;
  broken(): void;
  /** How many milliseconds the streams may hold input without output, or have a full buffer. */
  readonly stallMs: number;
}

export class BodyTransforms {
  readonly streams: readonly Duplex[];
  readonly #events: TransformEvents;
  readonly #first: Duplex;
  readonly #last: Duplex;
  #stall: NodeJS.Timeout | undefined = undefined;

  /** @param streams at least one; the body goes through all of them in that order */
  constructor(streams: readonly Duplex[], events: TransformEvents) {
    this.streams = streams;
    this.#events = events;
    this.#first = streams[0] as Duplex;
    this.#last = streams.at(-1) as Duplex;
    streams.forEach((stream, index) => {
      stream.once("error", () => this.#broken()).on("error", () => {});
      stream.once("close", () => {
        if (!stream.readableEnded) this.#broken();
      });
      const next = streams[index + 1];
      if (next !== undefined) stream.pipe(next);
    });
    this.#last.on("data", (bytes: unknown) => this.#came(bytes));
    this.#last.once("end", () => {
      clearTimeout(this.#stall);
      events.ended();
    });
  }

  /** @returns false = wait for `writable` */
  write(bytes: Buffer): boolean {
    if (this.#first.write(bytes)) return true;
    if (!this.#last.isPaused()) this.#watch();
    this.#first.once("drain", () => {
      clearTimeout(this.#stall);
      this.#events.writable();
    });
    return false;
  }

  end(): void {
    this.#watch();
    this.#first.end();
  }

  /** Output can be taken again. */
  resume(): void {
    if (this.#first.writableEnded || this.#first.writableNeedDrain) this.#watch();
    this.#last.resume();
  }

  #came(bytes: unknown): void {
    clearTimeout(this.#stall);
    if (typeof bytes !== "string" && !Buffer.isBuffer(bytes)) {
      this.#broken();
      return;
    }
    if (!this.#events.out(typeof bytes === "string" ? Buffer.from(bytes) : bytes)) this.#last.pause();
    else if (this.#first.writableEnded) this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.#broken(), this.#events.stallMs);
  }

  #broken(): void {
    clearTimeout(this.#stall);
    this.#events.broken();
  }
}
