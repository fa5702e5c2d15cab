// What a socket tells, to whoever reads it.
import type { Socket } from "node:net";
import { readShared } from "./shared-reads.ts";

export interface SocketReader {
  /** More is sure to come of what is being read. */
  readonly isInBody: boolean;
  received(bytes: Buffer): void;
  /** The other side has ended. */
  ended(): void;
  /** What was written has been taken. */
  drained(): void;
}

/** A property: a map of them would be one more look-up for every read. */
interface CarryingSocket extends Socket {
  socketReader?: SocketReader;
  /** Somebody else reads it now. */
  isLetGo?: boolean;
}

/** Reads from now on what the socket brings. */
export function startReading(socket: CarryingSocket, reader: SocketReader): void {
  socket.socketReader = reader;
  socket.isLetGo = false;
  // What was read and put back comes by `data` in any case, and before everything else.
  socket.on("data", received).on("end", ended).on("drain", drained).on("error", ignored);
  if (!("encrypted" in socket)) {
    readShared(
      socket,
      (bytes) => tell(socket, reader, bytes),
      () => reader.isInBody,
    );
  }
  // Reading may have been stopped while it was decided what the connection is.
  socket.resume();
}

export const readerOf = ({ socketReader }: CarryingSocket): SocketReader | undefined => socketReader;

/** Somebody else does. */
export function stopReading(socket: CarryingSocket): void {
  socket.isLetGo = true;
  socket.off("data", received).off("end", ended);
}

interface Waiting {
  readonly socket: Socket;
  readOn(): void;
}

/** Once everybody else has had a turn. */
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

/** What is left of a read is lost: nothing may be read behind that. */
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

// One function each for all sockets: `this` is the socket, which knows its reader.
function received(this: CarryingSocket, bytes: Buffer): void {
  if (this.socketReader !== undefined) read(this, this.socketReader, bytes);
}

function ended(this: CarryingSocket): void {
  this.socketReader?.ended();
}

function drained(this: CarryingSocket): void {
  this.socketReader?.drained();
}

/** Its close follows. */
function ignored(): void {}
