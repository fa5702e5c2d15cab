// Where the bytes of a connection are read to. Left to itself, Node allocates 64 KiB for every read, however few bytes
// come: most of what a small answer costs to read.
import type { OnReadOpts } from "node:net";
import { countForGc } from "../v8/gc-pacing.ts";

/** Answers up to here are read into memory that all connections share, and copied out. */
const SHARED_BYTES = 16 * 1024;
/** A connection on which more comes at once gets memory of its own, which is handed on without a copy. */
const OWN_BYTES = 64 * 1024;

const shared = Buffer.allocUnsafeSlow(SHARED_BYTES);

/**
 * `onread` of a socket (node:net). A read is done and over before any other begins, so that one piece of memory serves
 * every connection.
 * @param take gets the bytes, which are its own to keep
 */
export function readInto(take: (bytes: Buffer) => void): OnReadOpts {
  let next = shared;
  return {
    buffer: () => next,
    callback(length) {
      const memory = next;
      const bytes = memory === shared ? copyOf(shared, length) : memory.subarray(0, length);
      // What was handed on is read into no more; the memory for the next read is asked for after this returns.
      next = memoryAfter(memory, length);
      take(bytes);
      return true;
    },
  };
}

function memoryAfter(memory: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  const isOwn = memory !== shared;
  // A read seldom fills all of it, and what is left would be kept alive by the bytes handed on, for nothing.
  if (isOwn && memory.length - length >= SHARED_BYTES) return memory.subarray(length);
  if (length < memory.length && length <= SHARED_BYTES) return shared;
  countForGc(OWN_BYTES);
  return Buffer.allocUnsafeSlow(OWN_BYTES);
}

function copyOf(memory: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  memory.copy(copy, 0, 0, length);
  return copy;
}
