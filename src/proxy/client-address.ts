// Who the client is, and what the service is told about it: the trusted-proxy rule. Nobody but a listed peer is
// believed about addresses.
import ipaddr from "ipaddr.js";
import { BlockList, isIP } from "node:net";
import type { Cidr } from "../config-formats.ts";
import type { Fields } from "../pipeline/fields.ts";

export interface ClientAddress {
  readonly address: string;
  readonly peer: string;
  readonly viaTrustedProxy: boolean;
}

const memoLimit = 4_096;

export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #empty: boolean;
  // Peers repeat; a look-up in the list costs 0.3 µs and up.
  readonly #memo = new Map<string, boolean>();

  constructor(networks: readonly Cidr[]) {
    this.#empty = networks.length === 0;
    for (const { address, prefix, family } of networks) this.#list.addSubnet(address, prefix, family);
  }

  trusts(address: string): boolean {
    if (this.#empty) return false;
    const known = this.#memo.get(address);
    if (known !== undefined) return known;
    const family = isIP(address);
    const trusted = family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
    if (this.#memo.size >= memoLimit) this.#memo.clear();
    this.#memo.set(address, trusted);
    return trusted;
  }

  /**
   * The client's address: the peer, or behind trusted proxies the last address they did not add themselves
   * (X-Forwarded-For, else RFC 7239 Forwarded, read from the right).
   */
  resolve(peerRaw: string, fields: Fields): ClientAddress {
    const peer = plainAddress(peerRaw);
    if (!this.trusts(peer)) return { address: peer, peer, viaTrustedProxy: false };
    let address = peer;
    for (const hop of hopsBackwards(fields)) {
      // A hop that is no address ends what can be believed.
      if (isIP(hop) === 0) break;
      address = hop;
      if (!this.trusts(hop)) break;
    }
    return { address, peer, viaTrustedProxy: true };
  }
}

/**
 * The form in which every rule meets an address, made here once: IPv4 mapped into IPv6 (`::ffff:10.0.0.1`) is IPv4, and
 * a zone (`fe80::1%eth0`, RFC 4007 section 11) is cut, for it is about the link and no list of ranges takes it.
 * A unix peer has no address: "unix". What is no address stays as it is.
 */
export function plainAddress(address: string): string {
  if (address === "") return "unix";
  if (!address.includes(":") || isIP(address) !== 6) return address;
  const bare = address.includes("%") ? address.slice(0, address.indexOf("%")) : address;
  // Only a mapped address has five words of zeros before ffff, however it is written.
  if (!/^[0:]*:ffff:/i.test(bare) || !ipaddr.IPv6.isValid(bare)) return bare;
  return ipaddr.process(bare).toString();
}

function hopsBackwards(fields: Fields): string[] {
  const forwardedFor = fields.get("x-forwarded-for");
  if (forwardedFor !== undefined) return forwardedFor.split(",").map(hopAddress).toReversed();
  const forwarded = fields.get("forwarded");
  if (forwarded === undefined) return [];
  const hops = forwarded
    .split(",")
    .map((element) => /(?:^|;)\s*for=("?)([^";]*)\1/i.exec(element)?.[2] ?? "");
  return hops.map(hopAddress).toReversed();
}

/** An address as hops write it: with a port, brackets, or IPv4-mapped. */
function hopAddress(text: string): string {
  const hop = text.trim();
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(hop);
  if (bracketed !== null) return plainAddress(bracketed[1] as string);
  const withPort = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop);
  return hop === "" ? "" : plainAddress(withPort === null ? hop : (withPort[1] as string));
}

/** Fields by which a hop tells of those before it: whatever an untrusted peer sends under them is removed. */
export function isForwardedField(canonicalName: string): boolean {
  return canonicalName.startsWith("x-forwarded-") || forwardedNames.has(canonicalName);
}

const forwardedNames = new Set(["forwarded", "x-real-ip", "x-client-ip", "true-client-ip"]);

/** Adds this hop: X-Forwarded-For, -Proto, -Host, Forwarded where a trusted proxy began one, and Via. */
export function addHop(
  fields: Fields,
  client: Pick<ClientAddress, "peer">,
  request: { scheme: "http" | "https"; host: string; httpVersion: string },
): void {
  const before = fields.get("x-forwarded-for");
  fields.set("X-Forwarded-For", before === undefined ? client.peer : `${before}, ${client.peer}`);
  if (!fields.has("x-forwarded-proto")) fields.append("X-Forwarded-Proto", request.scheme);
  if (!fields.has("x-forwarded-host") && request.host !== "") fields.append("X-Forwarded-Host", request.host);
  const forwarded = fields.get("forwarded");
  if (forwarded !== undefined) fields.set("Forwarded", `${forwarded}, for=${quotedNode(client.peer)}`);
  // RFC 9110 section 7.6.3: an intermediary must, towards the origin.
  fields.append("Via", `${request.httpVersion} outrigger`);
}

// A request that has passed this many sidecars is going round: nobody stacks so many.
const mostSidecars = 16;

/** Whether an upstream leads back to where the request has been, by what Via says (RFC 9110 section 7.6.3). */
export function isLooping(fields: Fields): boolean {
  const via = fields.get("via");
  return via !== undefined && via.split(" outrigger").length > mostSidecars;
}

function quotedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}
