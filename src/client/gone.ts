// Who has left before anybody looked.
import type { Socket } from "node:net";

/**
 * Whether a connection over TCP has been reset. It has no address then, as callers of a unix socket have none, and what was
 * sent can be read all the same: that is nobody's, and not theirs.
 */
export function isGone({ remoteAddress, localAddress }: Socket): boolean {
  // Our own address stays, and a unix socket has none.
  return remoteAddress === undefined && localAddress !== undefined;
}
