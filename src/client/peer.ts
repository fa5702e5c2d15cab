// The other end of a connection, as every rule meets it: its address, or the one that a proxy of TCP has told for it.
import type { Socket } from "node:net";
import { plainAddress } from "./client-address.ts";

const told = Symbol("told peer");

interface ToldSocket extends Socket {
  [told]?: string;
  /** Under TLS, the connection below: not public, but there since Node 0.12. */
  readonly _parent?: ToldSocket | null;
}

/** @returns a plain address; "unix" = it has none, "unknown" = the proxy in front did not know it */
export function peerOf(socket: ToldSocket): string {
  return socket[told] ?? plainAddress(socket.remoteAddress ?? "");
}

/** @param address plain; from now on the connection's other end, to everybody */
export function tellPeer(socket: ToldSocket, address: string): void {
  socket[told] = address;
}

/** Who is at the other end of a connection is at that of the TLS on it, also once it is reset. */
export function inheritPeer(tls: ToldSocket): void {
  const { _parent: below } = tls;
  if (below !== undefined && below !== null) tls[told] = peerOf(below);
}
