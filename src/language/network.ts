// Networks as policies and settings write them (`10.0.0.0/8`, `fd00::/8`, single addresses), and whom an address stands for
// where callers are told apart by theirs: an IPv4 address itself, an IPv6 one its network, since whoever has one address
// of a /64 has them all.
import { BlockList, isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { term } from "./terms.ts";

export interface Network {
  readonly address: string;
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/**
 * One grammar for all: addresses as `isIP` knows them (ipaddr.js alone also reads octal and hexadecimal ones), no zone,
 * which is about a link and no list of networks.
 * @returns undefined for what is no network
 */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const address = slash === -1 ? text : text.slice(0, slash);
  const family = isIP(address);
  const bits = family === 4 ? 32 : 128;
  const digits = slash === -1 ? String(bits) : text.slice(slash + 1);
  const prefix = /^(?:0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Infinity;
  if (family === 0 || address.includes("%") || prefix > bits) return undefined;
  const parsed = ipaddr.parse(address);
  // Callers show as plain IPv4, so a mapped network is the IPv4 network that it maps; a wider one is none.
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()) {
    if (prefix < 96) return undefined;
    return { address: parsed.toIPv4Address().toString(), prefix: prefix - 96, family: "ipv4" };
  }
  return { address: parsed.toString(), prefix, family: family === 4 ? "ipv4" : "ipv6" };
}

export const network = term(
  "network",
  z.string().refine((text) => parseNetwork(text) !== undefined, {
    error: "must be an address or CIDR range, without a zone",
  }),
);

/** @param texts that the schema takes. @returns whether an address is in one of them; an IPv4 address also mapped into IPv6 */
export function compileNetworks(texts: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const text of texts) {
    const parsed = parseNetwork(text);
    if (parsed !== undefined) list.addSubnet(parsed.address, parsed.prefix, parsed.family);
  }
  return (address) => {
    // BlockList throws at a zone: whoever still has one is in no network.
    const family = address.includes("%") ? 0 : isIP(address);
    return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
  };
}

/** By length of their prefix, for all that ask: lru-cache makes its arrays in advance. */
const networksByPrefix = new Map<number, LRUCache<string, string>>();

/** @returns reads an address to `2001:db8::/64` and the like; what is no IPv6 address is itself, one mapped from IPv4 that */
export function networkReader(prefixBits: number): (address: string) => string {
  const networks = networksByPrefix.get(prefixBits) ?? new LRUCache<string, string>({ max: 4096 });
  networksByPrefix.set(prefixBits, networks);
  return function readNetwork(address) {
    if (!address.includes(":")) return address;
    let network = networks.get(address);
    if (network === undefined) {
      network = networkOf(address, prefixBits);
      networks.set(address, network);
    }
    return network;
  };
}

function networkOf(address: string, prefixBits: number): string {
  if (!ipaddr.IPv6.isValid(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  const bytes = parsed.toByteArray();
  for (const [index, byte] of bytes.entries()) {
    const keep = Math.max(0, Math.min(8, prefixBits - index * 8));
    bytes[index] = byte & (0xff << (8 - keep));
  }
  return `${new ipaddr.IPv6(bytes).toString()}/${prefixBits}`;
}
