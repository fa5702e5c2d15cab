// Resets a connection, so that the peer cannot take a partial response for a complete one.
import type { Socket } from "node:net";

/** A regular close would be the end of a close-delimited body (RFC 9112 section 8), so TCP connections get a reset. */
export function resetConnection(socket: Socket): void {
  // Node throws when asked to reset TLS or unix sockets. TLS closes without close_notify, which tells the same.
  if ("encrypted" in socket || socket.remoteAddress === undefined || isShuttingDown(socket)) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Whether all bytes and the regular end are with the system, but the end is not confirmed. libuv refuses a reset then
 * (EINVAL), and Node (26) has let go of the connection by that time: it would never be closed, nor tell anybody.
 */
function isShuttingDown(socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
}
