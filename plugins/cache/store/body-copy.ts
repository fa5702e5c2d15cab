// The copy of a body made while it streams to the client: bounded for one body and over all of them together.
import type { BodyTap } from "../../../src/plugin-api/contract.ts";

/** Bytes held by all copies under way. */
export interface CopyBudget {
  bytes: number;
  maxBytes: number;
}

export interface CopyEvents {
  /** @param body the whole body */
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
  #over = false;
  // Most bodies come in one piece.
  #first: Buffer | undefined = undefined;
  #rest: Buffer[] | undefined = undefined;
  #bytes = 0;

  /** @param announced the Content-Length, when there is one */
  constructor(budget: CopyBudget, maxBytes: number, announced: number | undefined, events: CopyEvents) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
    this.#announced = announced;
    this.#events = events;
  }

  chunk(bytes: Buffer): void {
    if (this.#over) return;
    this.#bytes += bytes.length;
    this.#budget.bytes += bytes.length;
    if (this.#bytes > this.#maxBytes || this.#budget.bytes > this.#budget.maxBytes) {
      this.#drop();
      this.#events.abandoned();
    } else if (this.#first === undefined) this.#first = bytes;
    else (this.#rest ??= []).push(bytes);
  }

  end(): void {
    if (this.#over) return;
    // RFC 9111 section 3.3: an incomplete response is not stored as a complete one.
    if (this.#announced !== undefined && this.#announced !== this.#bytes) {
      this.#drop();
      this.#events.abandoned();
      return;
    }
    // A chunk is a view of a larger read buffer, which would stay alive with it.
    const body = bodyMemory(this.#bytes);
    let at = this.#first?.copy(body) ?? 0;
    if (this.#rest !== undefined) for (const bytes of this.#rest) at += bytes.copy(body, at);
    this.#drop();
    this.#events.complete(body);
  }

  abort(): void {
    if (this.#over) return;
    this.#drop();
    this.#events.aborted();
  }

  #drop(): void {
    this.#over = true;
    this.#first = undefined;
    this.#rest = undefined;
    this.#budget.bytes -= this.#bytes;
    this.#bytes = 0;
  }
}

const slabBytes = 8_192;
const maxInSlab = 1_024;
let slab = Buffer.alloc(0);
let taken = 0;

/**
 * Memory for a body. Small ones share a slab, ten times cheaper than memory of their own: most entries never leave the
 * memory tier's window, and those of one slab leave it together. Who keeps one for longer calls `inOwnMemory`.
 */
export function bodyMemory(bytes: number): Buffer {
  if (bytes > maxInSlab) return Buffer.allocUnsafeSlow(bytes);
  if (taken + bytes > slab.length) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    taken = 0;
  }
  const start = taken;
  taken += bytes;
  return slab.subarray(start, taken);
}

/**
 * A body as an entry keeps it: a Buffer until it stays for longer, then small ones as text of one byte a character and
 * others as bare memory. Around its bytes a Buffer of its own has 484, its memory alone 380, a text 16.
 */
export type KeptBody = Buffer | ArrayBufferLike | string;

const maxTextLength = 512;

/** The same bytes where nothing else is kept alive with them. */
export function inOwnMemory(body: KeptBody): KeptBody {
  if (!Buffer.isBuffer(body)) return body;
  if (body.length <= maxTextLength) return body.toString("latin1");
  if (body.buffer.byteLength === body.length) return body.buffer;
  const own = Buffer.allocUnsafeSlow(body.length);
  body.copy(own);
  return own.buffer;
}

export function bytesOf(body: KeptBody): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return typeof body === "string" ? Buffer.from(body, "latin1") : Buffer.from(body);
}

export function sizeOf(body: KeptBody): number {
  return typeof body === "string" || Buffer.isBuffer(body) ? body.length : body.byteLength;
}

/** Content-Length as a number; undefined when absent or not one. */
export function announcedBytes(contentLength: string | undefined): number | undefined {
  return contentLength !== undefined && /^\d+$/.test(contentLength) ? Number(contentLength) : undefined;
}
