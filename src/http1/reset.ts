// Ends a connection so that the peer cannot take what it has got for complete.
import type { Socket } from "node:net";

/** A regular close would be the end of a close-delimited body (RFC 9112 section 8): TCP gets a reset. */
export function resetConnection(socket: Socket): void {
  // Node throws at a reset of TLS and of unix sockets. TLS closes without its close_notify, which tells as much.
  if ("encrypted" in socket || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
