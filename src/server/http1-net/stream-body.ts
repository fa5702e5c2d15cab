// Passes the body of one request from the parser to its reader. Without a reader, or while it pauses, chunks wait here;
// when too much waits, the connection is not read any more.
import type { BodyHandler } from "../../exchange/server-stream.ts";
import { addPart } from "../../http1/parts.ts";

/** The part of the connection that brings the body. */
export interface BodyConnection {
  pauseReading(): void;
  resumeReading(): void;
}

/** Reading pauses when this much waits; one more read may come on top of it. */
const waitingBytes = 64 * 1024;
const none: readonly string[] = [];

export class StreamBody {
  /** The whole body has come. */
  complete: boolean;
  /** The body will not be complete, or its reader is not called any more. */
  broken = false;
  readonly #connection: BodyConnection;
  #handler: BodyHandler | undefined = undefined;
  #waiting: Buffer[] | undefined = undefined;
  /** The number of chunks at the end of `#waiting` that are not merged yet. */
  #loose = 0;
  #bytes = 0;
  #trailers = none;
  #paused = false;
  /** A delivery is scheduled. */
  #isDue = false;
  #isTold = false;
  /** Nobody wants the body. */
  #isDropped = false;

  constructor(connection: BodyConnection, complete: boolean) {
    this.#connection = connection;
    this.complete = complete;
  }

  /** Its reader takes what still comes, and ends the connection of a client that falls silent. */
  get isComing(): boolean {
    return !this.complete && !this.broken && this.#handler !== undefined;
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

  /** Drops the bytes that still come, unless the body gets a reader. */
  drop(): void {
    if (this.#handler !== undefined || this.complete) return;
    this.#isDropped = true;
    this.#waiting = undefined;
    this.#connection.resumeReading();
  }

  /** @param chunk not empty */
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

  /** The body is complete. */
  end(trailers: readonly string[]): void {
    this.complete = true;
    this.#trailers = trailers;
    if (this.#handler !== undefined && !this.#isDue && !this.#paused) this.#tellEnd();
  }

  /** The client has been silent for too long. */
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

  /** Passes on what waits. */
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

  /** Deferred: the caller of `read` is not done yet. */
  #soon(): void {
    if (this.#isDue || this.#handler === undefined || this.#isTold || this.#isDropped) return;
    this.#isDue = true;
    process.nextTick(deliver, this);
  }
}

function deliver(body: StreamBody): void {
  body.deliver();
}
