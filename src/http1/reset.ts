// Resets a connection, so that the peer cannot take a partial response for a complete one.
import type { Socket } from "node:net";

/** A regular close would be the end of a close-delimited body (RFC 9112 section 8), so TCP connections get a reset. */
export function resetConnection(socket: Socket): void {
  // Node throws when asked to reset TLS or unix sockets. TLS closes without close_notify, which tells the same.
  if ("encrypted" in socket || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
