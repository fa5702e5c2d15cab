// Copies a body while it streams to the client. Bytes are bounded for each copy and for all copies together.
import type { BodyTap } from "../../../src/plugin-api/contract.ts";

/** Bytes held by all copies under way. */
export interface CopyBudget {
  bytes: number;
  maxBytes: number;
}

export interface CopyEvents {
  /** @param body the whole body */
  complete(body: Buffer): void;
  /** The body is too large, or its length is not the announced one: it is not stored. */
  abandoned(): void;
  /** The body broke off. */
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

  /** @param maxBytes bound of this copy. @param announced the Content-Length, if there is one */
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
    // Copied, because a chunk is a view of a larger read buffer and would keep that buffer alive.
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
 * Allocates memory for a body. Small bodies share a slab, which is ten times cheaper than own memory for each. Most
 * entries never leave the memory tier's window, and those of one slab are evicted together. `inOwnMemory` moves a body
 * that is kept for longer out of its slab.
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
 * The body of an entry: a Buffer at first. If the entry is kept for longer, a small body becomes a string of one byte
 * per character, and a larger one a bare ArrayBuffer. Overhead in bytes: 484 for a Buffer with own memory, 380 for an
 * ArrayBuffer, 16 for a string.
 */
export type KeptBody = Buffer | ArrayBufferLike | string;

const maxTextLength = 512;

/** @returns the same bytes in memory of their own, so that they keep nothing else alive */
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

/** @returns Content-Length as a number; undefined if it is absent or not a number */
export function announcedBytes(contentLength: string | undefined): number | undefined {
  return contentLength !== undefined && /^\d+$/.test(contentLength) ? Number(contentLength) : undefined;
}
