// Makes random trace and span ids in hex from a pool: one call of the system's random source serves about a thousand.
import { randomFillSync } from "node:crypto";

const pool = Buffer.alloc(16_384);
let at = pool.length;

function take(bytes: number): string {
  if (at + bytes > pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  const id = pool.toString("hex", at, at + bytes);
  at += bytes;
  return id;
}

const zero = /^0+$/;

/** @returns 32 hex digits, not all zero; the last 56 bits are random (Trace Context level 2, section 3.2.2.3) */
export function newTraceId(): string {
  const id = take(16);
  return zero.test(id) ? newTraceId() : id;
}

/** @returns 16 hex digits, not all of them zero */
export function newSpanId(): string {
  const id = take(8);
  return zero.test(id) ? newSpanId() : id;
}
