// Tells the peer of a connection: its address, or the address that a TCP proxy has told for it.
import type { Socket } from "node:net";
import { plainAddress } from "./client-address.ts";

const told = Symbol("told peer");

interface ToldSocket extends Socket {
  [told]?: string;
  /** Under TLS, the connection below. Not public, but there since Node 0.12. */
  readonly _parent?: ToldSocket | null;
}

/** @returns a plain address; "unix" = it has none, "unknown" = the proxy in front did not know it */
export function peerOf(socket: ToldSocket): string {
  return socket[told] ?? plainAddress(socket.remoteAddress ?? "");
}

/** Sets the peer of the connection for all later callers of `peerOf`. @param address a plain address */
export function tellPeer(socket: ToldSocket, address: string): void {
  socket[told] = address;
}

/** Gives a TLS socket the peer of the connection below, so that it stays known after a reset. */
export function inheritPeer(tls: ToldSocket): void {
  const { _parent: below } = tls;
  if (below !== undefined && below !== null) tls[told] = peerOf(below);
}
