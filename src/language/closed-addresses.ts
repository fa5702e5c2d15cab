// Decides which addresses are closed: the sidecar never connects to them when a policy, or a name that others resolve,
// leads there. They are link-local addresses, where clouds hand out credentials to any caller from inside.
import { lookup, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

const closed = new BlockList();
closed.addSubnet("169.254.0.0", 16, "ipv4");
closed.addSubnet("fe80::", 10, "ipv6");
// Metadata services elsewhere: AWS and Google over IPv6, Alibaba, Oracle, Azure.
closed.addAddress("fd00:ec2::254", "ipv6");
closed.addAddress("fd20:ce::254", "ipv6");
closed.addAddress("100.100.100.200", "ipv4");
closed.addAddress("192.0.0.192", "ipv4");
closed.addAddress("168.63.129.16", "ipv4");

/**
 * IPv6 networks whose addresses carry an IPv4 address (mapped, compatible, NAT64 of RFC 6052, 6to4 of RFC 3056):
 * network, prefix length, and the byte where the IPv4 address begins.
 */
const carriers = [
  ["::ffff:0:0", 96, 12],
  ["::ffff:0:0:0", 96, 12],
  ["::", 96, 12],
  ["64:ff9b::", 96, 12],
  ["2002::", 16, 2],
] as const;

/**
 * Whether connections to the host are forbidden.
 * @param host an address, also in brackets or with a zone; a name is never closed
 */
export function isClosedAddress(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").split("%", 1)[0] as string;
  const family = isIP(bare);
  if (family === 0) return false;
  if (family === 4) return closed.check(bare, "ipv4");
  if (closed.check(bare, "ipv6")) return true;
  const address = ipaddr.IPv6.parse(bare);
  const bytes = address.toByteArray();
  return carriers.some(([network, bits, at]) => {
    return (
      address.match(ipaddr.IPv6.parse(network), bits) &&
      closed.check(bytes.slice(at, at + 4).join("."), "ipv4")
    );
  });
}

export class ClosedAddress extends Error {
  override readonly name = "ClosedAddress";
  readonly code = "ERR_CLOSED_ADDRESS";

  constructor() {
    super("is a link-local or metadata address, which is never connected to");
  }
}

/**
 * Whether the address is public on the Internet: not loopback, private, reserved or link-local.
 * @param host as above; a name counts as public
 */
export function isPublicAddress(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").split("%", 1)[0] as string;
  if (isIP(bare) === 0) return true;
  const address = ipaddr.parse(bare);
  const bytes = address.toByteArray();
  const carrier =
    address.kind() === "ipv6" &&
    carriers.find(([network, bits]) => address.match(ipaddr.IPv6.parse(network), bits));
  if (!carrier) return address.range() === "unicast";
  const [, , at] = carrier;
  return isPublicAddress(bytes.slice(at, at + 4).join("."));
}

export class PrivateAddress extends Error {
  override readonly name = "PrivateAddress";
  readonly code = "ERR_PRIVATE_ADDRESS";

  constructor() {
    super("is a private address, which is connected to only where needs.hosts names the host in full");
  }
}

/**
 * Makes a DNS lookup that checks the addresses of a name. The connection goes to the address that was checked here, so
 * the name's owner gets no chance for a second answer (DNS rebinding). One refused address refuses the whole answer.
 */
function lookupUnless(refusal: (address: string) => Error | undefined): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, [] as never);
      for (const { address } of addresses) {
        const refused = refusal(address);
        if (refused !== undefined) return callback(refused, [] as never);
      }
      if (options.all) return callback(null, addresses);
      const [first] = addresses as [LookupAddress];
      callback(null, first.address, first.family);
    });
  };
}

const closedRefusal = (address: string): Error | undefined =>
  isClosedAddress(address) ? new ClosedAddress() : undefined;

/**
 * @returns why a plugin may not connect to an address unless its host is named in full; undefined = it may.
 * @param host as above
 */
export function publicRefusal(host: string): Error | undefined {
  return closedRefusal(host) ?? (isPublicAddress(host) ? undefined : new PrivateAddress());
}

/** Refuses closed addresses. */
export const lookupOpen = lookupUnless(closedRefusal);

/** Refuses closed and private addresses. */
export const lookupPublic = lookupUnless(publicRefusal);
