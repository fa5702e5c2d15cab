// The body of one request between the parser and whoever reads it: what comes while nobody does waits here, and nothing
// more is read when that is enough.
import type { BodyHandler } from "../../exchange/server-stream.ts";
import { addPart } from "../../http1/parts.ts";

/** The connection, as far as it brings the body. */
export interface BodyConnection {
  pauseReading(): void;
  resumeReading(): void;
}

/** So much may wait before the connection is not read any more; one read comes on top of it. */
const waitingBytes = 64 * 1024;
const none: readonly string[] = [];

export class StreamBody {
  /** All of it has come. */
  complete: boolean;
  /** It will not be complete, or nobody is told any more. */
  broken = false;
  readonly #connection: BodyConnection;
  #handler: BodyHandler | undefined = undefined;
  #waiting: Buffer[] | undefined = undefined;
  /** Those at its end that were not put together. */
  #loose = 0;
  #bytes = 0;
  #trailers = none;
  #paused = false;
  /** It has been told that it will be told what there is. */
  #isDue = false;
  #isTold = false;
  /** Nobody wants it. */
  #isDropped = false;

  constructor(connection: BodyConnection, complete: boolean) {
    this.#connection = connection;
    this.complete = complete;
  }

  read(handler: BodyHandler): void {
    this.#handler = handler;
    this.#isDropped = false;
    if (this.broken) handler.onBroken();
    else this.#soon();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#soon();
  }

  /** What still comes is for nobody, unless somebody reads it. */
  drop(): void {
    if (this.#handler !== undefined || this.complete) return;
    this.#isDropped = true;
    this.#waiting = undefined;
    this.#connection.resumeReading();
  }

  /** It is not empty. */
  push(chunk: Buffer): void {
    if (this.#handler !== undefined && !this.#paused && !this.#isDue && !this.broken) {
      this.#handler.onData(chunk);
      return;
    }
    if (this.#isDropped || this.broken) return;
    this.#loose = addPart((this.#waiting ??= []), chunk, this.#loose);
    this.#bytes += chunk.length;
    if (this.#bytes >= waitingBytes) this.#connection.pauseReading();
  }

  /** It is complete. */
  end(trailers: readonly string[]): void {
    this.complete = true;
    this.#trailers = trailers;
    if (this.#handler !== undefined && !this.#isDue && !this.#paused) this.#tellEnd();
  }

  /** The client is silent. */
  stall(): void {
    if (!this.#isTold && !this.broken) this.#handler?.onStall();
  }

  /** The connection is gone. */
  breakOff(): void {
    if (this.broken || this.#isTold) return;
    this.broken = true;
    this.#waiting = undefined;
    this.#handler?.onBroken();
  }

  /** Tells what there is. */
  deliver(): void {
    this.#isDue = false;
    const waiting = this.#waiting;
    let at = 0;
    if (waiting !== undefined) {
      while (at < waiting.length && !this.#paused && !this.broken) {
        const chunk = waiting[at] as Buffer;
        at += 1;
        this.#bytes -= chunk.length;
        this.#handler?.onData(chunk);
      }
      if (!this.broken) this.#waiting = at < waiting.length ? waiting.slice(at) : undefined;
      this.#loose = Math.min(this.#loose, waiting.length - at);
    }
    if (this.broken || this.#paused) return;
    if (this.complete) this.#tellEnd();
    else this.#connection.resumeReading();
  }

  #tellEnd(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#handler?.onEnd(this.#trailers);
  }

  /** Not at once: whoever asks has not done with that yet. */
  #soon(): void {
    if (this.#isDue || this.#handler === undefined || this.#isTold || this.#isDropped) return;
    this.#isDue = true;
    process.nextTick(deliver, this);
  }
}

function deliver(body: StreamBody): void {
  body.deliver();
}
