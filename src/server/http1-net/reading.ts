// What a socket tells, to whoever reads it.
import type { Socket } from "node:net";

export interface SocketReader {
  received(bytes: Buffer): void;
  /** The other side has ended. */
  ended(): void;
  /** What was written has been taken. */
  drained(): void;
}

/** A property: a map of them would be one more look-up for every read. */
interface CarryingSocket extends Socket {
  socketReader?: SocketReader;
}

/** Reads from now on what the socket brings. */
export function startReading(socket: CarryingSocket, reader: SocketReader): void {
  socket.socketReader = reader;
  socket.on("data", received).on("end", ended).on("drain", drained).on("error", ignored);
  // Reading may have been stopped while it was decided what the connection is.
  socket.resume();
}

export const readerOf = ({ socketReader }: CarryingSocket): SocketReader | undefined => socketReader;

/** Somebody else does. */
export function stopReading(socket: CarryingSocket): void {
  socket.off("data", received).off("end", ended);
}

interface Waiting {
  readOn(): void;
}

/** Once everybody else has had a turn. */
export function readSoon(waiting: Waiting): void {
  setImmediate(readOn, waiting);
}

function readOn(waiting: Waiting): void {
  waiting.readOn();
}

// One function each for all sockets: `this` is the socket, which knows its reader.
function received(this: CarryingSocket, bytes: Buffer): void {
  this.socketReader?.received(bytes);
}

function ended(this: CarryingSocket): void {
  this.socketReader?.ended();
}

function drained(this: CarryingSocket): void {
  this.socketReader?.drained();
}

/** Its close follows. */
function ignored(): void {}
