// Accepted connections read into the memory that opened ones share (see http1/read-buffer.ts). For accepted ones Node (26)
// has no public way to ask for that: it is found on a socket that was made with `onread`, and where it is not as known,
// connections are read as any stream.
import { Socket } from "node:net";
import { acceptedMemory, readInto } from "../../http1/read-buffer.ts";

/** What Node looks at with each read. */
interface Slots {
  /** The memory for the next read. */
  readonly memory: symbol;
  /** Names the memory after that. */
  readonly next: symbol;
  /** Takes what was read. */
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
  // Until a connection is there, the memory is only said to be wanted.
  const memory = find("kBuffer", true);
  const next = find("kBufferGen", onread.buffer);
  const take = find("kBufferCb", onread.callback);
  probe.destroy();
  return memory && next && take && { memory, next, take };
}

/**
 * From now on the socket, in clear, tells what it reads to `take` and not by `data`.
 * @param take see `readInto`, as for `isInBody`. @returns false = there is no such way
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
