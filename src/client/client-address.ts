// Determines the client's address, and what the service is told about it, by the trusted-proxy rule. Only listed peers
// are believed about addresses, and only in one field: a proxy passes on fields of others that it does not write
// itself.
import ipaddr from "ipaddr.js";
import { BlockList, isIP } from "node:net";
import { type ForwardedField, toldOriginFields } from "../language/field-sets.ts";
import { type Network, networkReader } from "../language/network.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { Fields } from "../plugin-api/fields.ts";
import { parseForwarded } from "./forwarded.ts";

export interface ClientAddress {
  readonly address: string;
  readonly peer: string;
  readonly viaTrustedProxy: boolean;
  /** The scheme in the believed `Forwarded` field. */
  readonly toldScheme?: "http" | "https" | undefined;
  /** X-Forwarded-For and Forwarded name different clients. */
  readonly disagrees?: boolean;
}

/** Peers that are believed about addresses; `unix` = every process that can open a unix socket of this sidecar. */
export type TrustedPeers = Network | "unix";

interface Hop {
  readonly address: string;
  readonly proto?: string | undefined;
}

const memoLimit = 4_096;

export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #empty: boolean;
  #trustsUnix = false;
  // Peers repeat; a look-up in the list costs 0.3 µs and more.
  readonly #memo = new Map<string, boolean>();

  readonly #field: ForwardedField;
  readonly #hops: number;

  /**
   * @param field the only field that is believed
   * @param hops how many proxies stand in front, whatever their addresses; 0 = the networks decide
   */
  constructor(networks: readonly TrustedPeers[], field: ForwardedField = "x-forwarded-for", hops = 0) {
    this.#field = field;
    this.#hops = hops;
    this.#empty = networks.length === 0;
    for (const each of networks) {
      if (each === "unix") this.#trustsUnix = true;
      else this.#list.addSubnet(each.address, each.prefix, each.family);
    }
  }

  trusts(address: string): boolean {
    if (this.#empty) return false;
    const known = this.#memo.get(address);
    if (known !== undefined) return known;
    const family = isIP(address);
    const trusted =
      family === 0
        ? address === "unix" && this.#trustsUnix
        : this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
    if (this.#memo.size >= memoLimit) this.#memo.clear();
    this.#memo.set(address, trusted);
    return trusted;
  }

  /**
   * Finds the client's address: the peer, or behind trusted proxies the last address that is not one of theirs, read
   * from the right. Removes contradicting fields.
   * @throws GatewayError `malformed_request` if the believed field cannot be parsed
   */
  resolve(peerRaw: string, fields: Fields): ClientAddress {
    const peer = plainAddress(peerRaw);
    if (!this.trusts(peer)) return { address: peer, peer, viaTrustedProxy: false };
    const hops = hopsBackwards(fields, this.#field);
    if (hops === undefined) {
      // It is unknown where the proxy's own part begins.
      throw new GatewayError("malformed_request", "The Forwarded field is malformed.");
    }
    const { address, proto } = this.#client(peer, hops);
    const disagrees = this.#settle(fields, peer, address);
    const scheme = this.#field === "forwarded" ? proto?.toLowerCase() : undefined;
    const toldScheme = scheme === "http" || scheme === "https" ? scheme : undefined;
    return { address, peer, viaTrustedProxy: true, toldScheme, disagrees };
  }

  #client(peer: string, hops: readonly Hop[]): Hop {
    let client: Hop = { address: peer };
    for (const [index, hop] of hops.entries()) {
      // Nothing to the left of a hop that is no address can be believed.
      if (isIP(hop.address) === 0) break;
      client = hop;
      if (this.#hops === 0 ? !this.trusts(hop.address) : index + 1 === this.#hops) break;
    }
    return client;
  }

  /**
   * Removes the field that is not believed if it contradicts the result. @returns whether the fields name different
   * clients
   */
  #settle(fields: Fields, peer: string, address: string): boolean {
    const field = this.#field;
    if (field !== "x-forwarded-for" && field !== "forwarded") return false;
    const other = field === "forwarded" ? "x-forwarded-for" : "forwarded";
    const told = fields.has(other);
    const hops = told ? hopsBackwards(fields, other) : undefined;
    const agrees = hops !== undefined && this.#client(peer, hops).address === address;
    if (told && !agrees) fields.delete(other);
    if (field === "forwarded") {
      // A proxy that writes Forwarded need not write these fields; this hop sets them again.
      fields.deleteWhere((name) => toldOriginFields.includes(name));
      if (!agrees && address !== peer) fields.set("X-Forwarded-For", address);
    }
    return told && !agrees;
  }
}

/**
 * The one form in which all rules see an address. IPv4 mapped into IPv6 (`::ffff:10.0.0.1`) becomes IPv4. A zone
 * (`fe80::1%eth0`, RFC 4007 section 11) is removed, since it concerns the link and no list of ranges accepts it. A unix
 * peer has no address and becomes "unix". Other text stays as it is.
 */
export function plainAddress(address: string): string {
  if (address === "") return "unix";
  if (!address.includes(":") || isIP(address) !== 6) return address;
  const bare = address.includes("%") ? address.slice(0, address.indexOf("%")) : address;
  // In any spelling, only a mapped address has five words of zeros before ffff.
  if (!/^[0:]*:ffff:/i.test(bare) || !ipaddr.IPv6.isValid(bare)) return bare;
  return ipaddr.process(bare).toString();
}

/** The same for an address from text: others may spell it in other ways than the system does. */
export function readAddress(text: string): string {
  const plain = plainAddress(text);
  return isIP(plain) === 6 ? ipaddr.parse(plain).toString() : plain;
}

/** The key under which an address is counted: an IPv6 client commonly has a whole /64 (RFC 6177). */
export const shareKey = networkReader(64);

/** @returns undefined = no client's share: many clients have no address in common, or an unknown one */
export function shareOwner(address: string): string | undefined {
  return address === "unix" || address === "unknown" ? undefined : shareKey(address);
}

/** @returns the hops from the right; undefined = malformed */
function hopsBackwards(fields: Fields, field: ForwardedField): Hop[] | undefined {
  const value = fields.get(field);
  if (value === undefined) return [];
  if (field !== "forwarded")
    return value
      .split(",")
      .map((hop) => ({ address: hopAddress(hop) }))
      .toReversed();
  return parseForwarded(value)
    ?.map((element) => ({ address: hopAddress(element.for ?? ""), proto: element.proto }))
    .toReversed();
}

/** Parses an address as hops write it: with a port, in brackets, or IPv4-mapped. */
function hopAddress(text: string): string {
  const hop = text.trim();
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(hop);
  if (bracketed !== null) return readAddress(bracketed[1] as string);
  const withPort = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop);
  return hop === "" ? "" : readAddress(withPort === null ? hop : (withPort[1] as string));
}

/** Adds this hop to X-Forwarded-For, -Proto, -Host, to Forwarded if a trusted proxy began one, and to Via. */
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
  // RFC 9110 section 7.6.3: an intermediary must do so towards the origin.
  fields.append("Via", `${request.httpVersion} outrigger`);
}

// A request that has passed this many sidecars is in a loop: no real setup has so many.
const maxSidecars = 16;

/** Whether the request is in a loop of upstreams, according to Via (RFC 9110 section 7.6.3). */
export function isLooping(fields: Fields): boolean {
  const via = fields.get("via");
  return via !== undefined && via.split(" outrigger").length > maxSidecars;
}

function quotedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}
