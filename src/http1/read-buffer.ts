// Where the bytes of a connection are read to. Left to itself, Node allocates 64 KiB for every read, however few bytes
// come: most of what a small answer costs to read.
import { countForGc } from "../v8/gc-pacing.ts";

/** Answers up to here are read into memory that all connections share, and copied out. */
const SHARED_BYTES = 16 * 1024;
/** The same of requests: what one read brings of them may wait for its turn. */
const ACCEPTED_BYTES = 32 * 1024;
/** A connection on which more comes at once gets memory of its own, which is handed on without a copy. */
const OWN_BYTES = 64 * 1024;

export interface ReadMemory {
  readonly shared: Buffer<ArrayBuffer>;
  /** @returns the memory for the next read. @param length what came of this one */
  after(memory: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer>;
}

/** `onread` of a socket (node:net). */
export interface SharedReads {
  readonly buffer: () => Uint8Array;
  readonly callback: (length: number) => boolean;
}

/** Of the connections that we open. */
const opened: ReadMemory = {
  shared: Buffer.allocUnsafeSlow(SHARED_BYTES),
  after(memory, length) {
    const isOwn = memory !== opened.shared;
    // A read seldom fills all of it, and what is left would be kept alive by the bytes handed on, for nothing.
    if (isOwn && memory.length - length >= SHARED_BYTES) return memory.subarray(length);
    if (length < memory.length && length <= SHARED_BYTES) return opened.shared;
    return ownMemory();
  },
};

const sharedByAccepted = Buffer.allocUnsafeSlow(ACCEPTED_BYTES);

/**
 * Of a connection that was accepted: many of them rest at a time, and their other side may want them to take much memory.
 * @param isInBody more is sure to come
 */
export function acceptedMemory(isInBody: () => boolean): ReadMemory {
  return {
    shared: sharedByAccepted,
    after: (memory, length) => (length < memory.length || !isInBody() ? sharedByAccepted : ownMemory()),
  };
}

/**
 * Ends the connection in whose turn the process is, where its next read is not to go where the last one went. Node (26)
 * does not hear of other memory when anything throws in the turn of a read, also in a tick, and reads on into what it
 * had: what was handed on would be written over, and bytes of others, or of nobody, taken for what was read.
 */
let endOfTurn: (() => void) | undefined;

process.on("uncaughtExceptionMonitor", () => {
  const end = endOfTurn;
  endOfTurn = undefined;
  end?.();
});

/**
 * A read is done and over before any other begins, so that one piece of memory serves every connection.
 * @param take gets the bytes, which are its own to keep; `false` = it has enough
 * @param end ends the connection at once: what it would read next may be lost
 */
export function readInto(
  take: (bytes: Buffer) => unknown,
  end: () => void,
  from: ReadMemory = opened,
): SharedReads {
  const { shared } = from;
  let next = shared;
  return {
    buffer: () => next,
    callback: (length) => {
      const memory = next;
      const bytes = memory === shared ? copyOf(shared, length) : memory.subarray(0, length);
      // A fault in the middle of it loses the rest: nothing may be read behind that.
      endOfTurn = end;
      const more = take(bytes) !== false;
      // The memory for the next read is asked for after this returns. What is handed on is to be read into no more.
      next = from.after(memory, length);
      if (memory === shared && next === shared) endOfTurn = undefined;
      return more;
    },
  };
}

function ownMemory(): Buffer<ArrayBuffer> {
  countForGc(OWN_BYTES);
  return Buffer.allocUnsafeSlow(OWN_BYTES);
}

function copyOf(memory: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  memory.copy(copy, 0, 0, length);
  return copy;
}
