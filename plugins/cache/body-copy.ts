// The copy of a body made while it streams to the client: bounded for one body and over all of them together.
import type { BodyTap } from "../../src/pipeline/contract.ts";

/** Bytes held by all copies under way. */
export interface CopyBudget {
  bytes: number;
  maxBytes: number;
}

export interface CopyEvents {
  /** @param body the whole body, in memory of its own */
  complete(body: Buffer): void;
  /** Too large, or of another length than announced: nothing will be stored. */
  abandoned(): void;
  /** It broke off. */
  aborted(): void;
}

export class BodyCopy implements BodyTap {
  readonly #budget: CopyBudget;
  readonly #maxBytes: number;
  readonly #announced: number | undefined;
  readonly #events: CopyEvents;
  #chunks: Buffer[] | undefined = [];
  #bytes = 0;

  /** @param announced the Content-Length, when there is one */
  constructor(budget: CopyBudget, maxBytes: number, announced: number | undefined, events: CopyEvents) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
    this.#announced = announced;
    this.#events = events;
  }

  chunk(bytes: Buffer): void {
    if (this.#chunks === undefined) return;
    this.#bytes += bytes.length;
    this.#budget.bytes += bytes.length;
    if (this.#bytes > this.#maxBytes || this.#budget.bytes > this.#budget.maxBytes) {
      this.#drop();
      this.#events.abandoned();
    } else this.#chunks.push(bytes);
  }

  end(): void {
    const chunks = this.#chunks;
    if (chunks === undefined) return;
    // RFC 9111 section 3.3: an incomplete response is not stored as a complete one.
    if (this.#announced !== undefined && this.#announced !== this.#bytes) {
      this.#drop();
      this.#events.abandoned();
      return;
    }
    // A chunk is a view of a larger read buffer, which would stay alive with it.
    const body = Buffer.allocUnsafeSlow(this.#bytes);
    let at = 0;
    for (const bytes of chunks) at += bytes.copy(body, at);
    this.#drop();
    this.#events.complete(body);
  }

  abort(): void {
    if (this.#chunks === undefined) return;
    this.#drop();
    this.#events.aborted();
  }

  #drop(): void {
    this.#chunks = undefined;
    this.#budget.bytes -= this.#bytes;
    this.#bytes = 0;
  }
}

/** Content-Length as a number; undefined when absent or not one. */
export function announcedBytes(contentLength: string | undefined): number | undefined {
  return contentLength !== undefined && /^\d+$/.test(contentLength) ? Number(contentLength) : undefined;
}
