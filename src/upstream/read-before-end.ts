// Lets a service's answer be read although the service no longer takes its request.
import type { Socket } from "node:net";

/**
 * A service that answers early and closes with a part of the request unread resets the connection. Its answer may then
 * still wait to be read, but Node destroys a socket as soon as a write fails. This puts that off until the event loop
 * has read everything that arrived before.
 * @param mayHold whether what waits can be the answer to what was written
 */
export function readBeforeEnd(socket: Socket, mayHold: () => boolean): void {
  const destroy = socket.destroy.bind(socket);
  socket.destroy = (error?: NodeJS.ErrnoException): Socket => {
    if (error?.syscall !== "write" || !mayHold()) return destroy(error);
    // The first immediate may run before the loop polls again, the second runs after.
    setImmediate(setImmediate, destroy, error);
    return socket;
  };
}
