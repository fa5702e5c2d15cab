// Whom an address stands for where callers are told apart by theirs: an IPv4 address itself, an IPv6 one its network,
// since whoever has one address of a /64 has them all.
import ipaddr from "ipaddr.js";
import { LRUCache } from "lru-cache";

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
