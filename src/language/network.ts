// Reads networks in policies and settings (`10.0.0.0/8`, `fd00::/8`, single addresses). It also decides which caller an
// address stands for: an IPv4 address for itself, an IPv6 address for its network, because whoever has one address of a
// /64 has them all.
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
 * Parses an address or CIDR range. One grammar for all: addresses as `isIP` knows them (ipaddr.js alone also reads
 * octal and hexadecimal ones). A zone is refused: it names a link, which has no place in a list of networks.
 * @returns undefined when the text is no network
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
  // Callers appear as plain IPv4, so a mapped network becomes its IPv4 network. A wider one is refused.
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

/**
 * @param texts networks that the schema accepts.
 * @returns a test whether an address is in one of them; IPv4 addresses may also be mapped into IPv6
 */
export function compileNetworks(texts: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const text of texts) {
    const parsed = parseNetwork(text);
    if (parsed !== undefined) list.addSubnet(parsed.address, parsed.prefix, parsed.family);
  }
  return (address) => {
    // BlockList throws for an address with a zone: such an address is in no network.
    const family = address.includes("%") ? 0 : isIP(address);
    return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
  };
}

/** One cache per prefix length, shared by all callers, because lru-cache allocates its arrays in advance. */
const networksByPrefix = new Map<number, LRUCache<string, string>>();

/**
 * @returns a function that maps an IPv6 address to its network (`2001:db8::/64`). An IPv4-mapped address becomes IPv4,
 * and other text stays as it is
 */
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
