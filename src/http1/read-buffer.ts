// Chooses the memory that the bytes of a connection are read into. By default, Node allocates 64 KiB for every read,
// however few bytes come: that is most of what reading a small answer costs.
import { countForGc } from "../v8/gc-pacing.ts";

/** Answers up to this size are read into memory that all connections share, and copied out. */
const SHARED_BYTES = 16 * 1024;
/** The same for requests: what one read brings may wait for its turn. */
const ACCEPTED_BYTES = 32 * 1024;
/** A connection that brings more at once gets its own memory, which is handed on without a copy. */
const OWN_BYTES = 64 * 1024;

export interface ReadMemory {
  readonly shared: Buffer<ArrayBuffer>;
  /** @returns the memory for the next read. @param length how many bytes the last read brought */
  after(memory: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer>;
}

/** `onread` of a socket (node:net). */
export interface SharedReads {
  readonly buffer: () => Uint8Array;
  readonly callback: (length: number) => boolean;
}

/** For the connections that the sidecar opens. */
const opened: ReadMemory = {
  shared: Buffer.allocUnsafeSlow(SHARED_BYTES),
  after(memory, length) {
    const isOwn = memory !== opened.shared;
    // A read seldom fills its memory. The rest is used for the next read: the bytes handed on keep it alive anyway.
    if (isOwn && memory.length - length >= SHARED_BYTES) return memory.subarray(length);
    if (length < memory.length && length <= SHARED_BYTES) return opened.shared;
    return ownMemory();
  },
};

const sharedByAccepted = Buffer.allocUnsafeSlow(ACCEPTED_BYTES);

/**
 * For accepted connections: many of them idle at a time, and a client may try to make them take much memory.
 * @param isInBody whether more bytes of a body are sure to come
 */
export function acceptedMemory(isInBody: () => boolean): ReadMemory {
  return {
    shared: sharedByAccepted,
    after: (memory, length) => (length < memory.length || !isInBody() ? sharedByAccepted : ownMemory()),
  };
}

/**
 * Ends the connection whose read is running if its next read must not go where the last one went. If anything throws in
 * the turn of a read, also in a tick, Node (26) does not ask for other memory and reads on into the old memory. Bytes
 * already handed on would be overwritten, and stale or foreign bytes taken for what was read.
 */
let endOfTurn: (() => void) | undefined;

process.on("uncaughtExceptionMonitor", () => {
  const end = endOfTurn;
  endOfTurn = undefined;
  end?.();
});

/**
 * One piece of memory can serve every connection, since a read is processed before any other begins.
 * @param take gets the bytes and may keep them; `false` = stop reading
 * @param end ends the connection at once: the bytes of its next read may be lost
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
      // A fault in `take` loses the rest of this read: nothing may be read after that.
      endOfTurn = end;
      const more = take(bytes) !== false;
      // Node asks for the memory of the next read after this returns. No read may go into memory that was handed on.
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
