// Lets a service's answer be read although the service no longer takes its request.
import type { Socket } from "node:net";
import { afterNextPoll } from "./after-next-poll.ts";

/**
 * A service that answers early and closes with a part of the request unread resets the connection. Its answer may then
 * still wait to be read, but Node destroys a socket as soon as a write fails. This puts that off until everything that
 * arrived before is read, also by a receiver that is slow.
 * @param mayHold whether what waits can be the answer to what was written
 */
export function readBeforeEnd(socket: Socket, mayHold: () => boolean): void {
  const destroy = socket.destroy.bind(socket);
  socket.destroy = (error?: NodeJS.ErrnoException): Socket => {
    if (error?.syscall !== "write" || !mayHold()) return destroy(error);
    whenRead(socket, () => destroy(error));
    // The rest of the request is dropped: its sender must not wait for room.
    socket.emit("drain");
    return socket;
  };
}

/** Runs once the socket is not paused and a poll has brought nothing more. */
function whenRead(socket: Socket, run: () => void): void {
  const { bytesRead } = socket;
  afterNextPoll(() => {
    if (socket.destroyed) return;
    if (socket.isPaused()) socket.once("resume", () => whenRead(socket, run));
    else if (socket.bytesRead > bytesRead) whenRead(socket, run);
    else run();
  });
}
