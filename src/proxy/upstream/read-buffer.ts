// Where the bytes of a connection are read to. Left to itself, Node allocates 64 KiB for every read, however few bytes
// come: most of what a small answer costs to read.
import type { OnReadOpts } from "node:net";

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
    callback(length, memory) {
      const full = length === memory.byteLength;
      const bytes = next === shared ? copyOf(shared, length) : next.subarray(0, length);
      // What was handed on is read into no more, and the memory for the next read is asked for after this returns.
      if (full || length > SHARED_BYTES) next = Buffer.allocUnsafeSlow(OWN_BYTES);
      else next = shared;
      take(bytes);
      return true;
    },
  };
}

function copyOf(memory: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  memory.copy(copy, 0, 0, length);
  return copy;
}
