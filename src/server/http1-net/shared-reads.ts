// Reads accepted connections into the memory that opened ones share (see http1/read-buffer.ts). Node (26) has no public
// way to ask for that on an accepted socket, so the private slots are found on a socket made with `onread`. If Node's
// internals have changed, connections are read like any stream.
import { Socket } from "node:net";
import { acceptedMemory, readInto } from "../../http1/read-buffer.ts";

/** The private properties that Node uses for each read. */
interface Slots {
  /** Holds the memory for the next read. */
  readonly memory: symbol;
  /** Holds the function that returns the memory for the read after that. */
  readonly next: symbol;
  /** Holds the function that takes the bytes. */
  readonly take: symbol;
}

interface ReadingHandle {
  useUserBuffer(memory: Uint8Array): void;
}

type SlottedSocket = Socket & Record<symbol, unknown> & { readonly _handle?: Partial<ReadingHandle> | null };

const slots = findSlots();

function findSlots(): Slots | undefined {
  const onread = { buffer: () => new Uint8Array(), callback: () => true };
  const probe = new Socket({ onread }) as SlottedSocket;
  const find = (name: string, value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(probe).find((own) => own.description === name && probe[own] === value);
  // Until the socket is connected, Node only notes that a buffer is wanted.
  const memory = find("kBuffer", true);
  const next = find("kBufferGen", onread.buffer);
  const take = find("kBufferCb", onread.callback);
  probe.destroy();
  return memory && next && take && { memory, next, take };
}

/**
 * From now on the socket, which must be in clear, passes what it reads to `take` instead of emitting `data`.
 * @param take as in `readInto`; for `isInBody` see `acceptedMemory`. @returns false = not possible with this Node
 */
export function readShared(
  socket: Socket,
  take: (bytes: Buffer) => boolean,
  isInBody: () => boolean,
): boolean {
  const { _handle: handle } = socket as SlottedSocket;
  if (slots === undefined || typeof handle?.useUserBuffer !== "function") return false;
  const { buffer, callback } = readInto(take, () => socket.destroy(), acceptedMemory(isInBody));
  const memory = buffer();
  Object.assign(socket, { [slots.memory]: memory, [slots.next]: buffer, [slots.take]: callback });
  handle.useUserBuffer(memory);
  return true;
}
