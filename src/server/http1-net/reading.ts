// Passes the events of a socket to its reader.
import type { Socket } from "node:net";
import { readShared } from "./shared-reads.ts";

export interface SocketReader {
  /** More bytes of the current body are sure to come. */
  readonly isInBody: boolean;
  received(bytes: Buffer): void;
  /** The other side has ended. */
  ended(): void;
  /** The socket's write buffer has drained. */
  drained(): void;
}

/** The reader is a property: a map would cost a look-up for every read. */
interface CarryingSocket extends Socket {
  socketReader?: SocketReader;
  /** Other code reads the socket now. */
  isLetGo?: boolean;
}

/** From now on, `reader` gets what the socket reads. */
export function startReading(socket: CarryingSocket, reader: SocketReader): void {
  socket.socketReader = reader;
  socket.isLetGo = false;
  // Bytes that were read and put back always come by `data`, before all others.
  socket.on("data", received).on("end", ended).on("drain", drained).on("error", ignored);
  if (!("encrypted" in socket)) {
    readShared(
      socket,
      (bytes) => tell(socket, reader, bytes),
      () => reader.isInBody,
    );
  }
  // Reading may have been paused while the protocol was detected.
  socket.resume();
}

export const readerOf = ({ socketReader }: CarryingSocket): SocketReader | undefined => socketReader;

/** Stops telling the reader: other code reads the socket from now on. */
export function stopReading(socket: CarryingSocket): void {
  socket.isLetGo = true;
  socket.off("data", received).off("end", ended);
}

interface Waiting {
  readonly socket: Socket;
  readOn(): void;
}

/** Calls `readOn` after all other connections have had a turn. */
export function readSoon(waiting: Waiting): void {
  setImmediate(readNow, waiting);
}

export function readNow(waiting: Waiting): void {
  try {
    waiting.readOn();
  } catch (error) {
    endBehindFault(waiting.socket, error);
  }
}

/** Destroys the socket after a fault, which loses the rest of a read: nothing may be read after that. */
function endBehindFault(socket: Socket, error: unknown): never {
  socket.destroy();
  throw error;
}

function tell(socket: CarryingSocket, reader: SocketReader, bytes: Buffer): boolean {
  if (socket.isLetGo === true) return socket.push(bytes);
  read(socket, reader, bytes);
  return true;
}

function read(socket: Socket, reader: SocketReader, bytes: Buffer): void {
  try {
    reader.received(bytes);
  } catch (error) {
    endBehindFault(socket, error);
  }
}

// All sockets share these functions: `this` is the socket, which knows its reader.
function received(this: CarryingSocket, bytes: Buffer): void {
  if (this.socketReader !== undefined) read(this, this.socketReader, bytes);
}

function ended(this: CarryingSocket): void {
  this.socketReader?.ended();
}

function drained(this: CarryingSocket): void {
  this.socketReader?.drained();
}

/** The socket's `close` event follows. */
function ignored(): void {}
