// Where a caller stands among all, always at the same place: by who they are once that is known, else by their address.
import { networkReader } from "../language/network.ts";
import type { LiveExchange } from "./exchange.ts";

/** Whoever has one address of an IPv6 network has them all. */
const networkOf = networkReader(64);
const offset = 0x811c9dc5;
/** Hashes are below it. */
export const hashes = 2 ** 32;

/** @param name what callers are chosen for: each has another order, so that nobody is the first at everything */
export const seedOf = (name: string): number => mixed(offset, name);

/** @returns 0 to 2^32 - 1 */
export function callerHash(
  seed: number,
  { identity, client }: Pick<LiveExchange, "identity" | "client">,
): number {
  return avalanche(
    identity === undefined
      ? mixed(seed, networkOf(client.address))
      : mixed(mixed(seed, identity.issuer ?? ""), `\n${identity.userId}`),
  );
}

/** FNV-1a over UTF-16 units. */
function mixed(seed: number, text: string): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The last step of MurmurHash3: what differs in a few bits ends far apart. */
function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
