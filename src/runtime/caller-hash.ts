// Gives each caller a stable hash: by identity once that is known, before that by address.
import { networkReader } from "../language/network.ts";
import type { LiveExchange } from "./exchange.ts";

/** One caller may own all addresses of an IPv6 /64, so the whole network counts as one caller. */
const networkOf = networkReader(64);
const offset = 0x811c9dc5;
/** Hashes are below this value. */
export const hashes = 2 ** 32;

/**
 * @param name what callers are chosen for: each name orders them differently, so that no caller is always chosen first
 */
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

/** The final mix of MurmurHash3: inputs that differ in a few bits get hashes far apart. */
function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
