// Detects clients that have left before their connection is used.
import type { Socket } from "node:net";

/**
 * Whether a TCP connection has been reset. It then has no remote address, just like a unix socket, but its bytes can
 * still be read: it must not be taken for a unix peer.
 */
export function isGone({ remoteAddress, localAddress }: Socket): boolean {
  // After a reset, the local address stays; a unix socket has none.
  return remoteAddress === undefined && localAddress !== undefined;
}
