// Writes addresses in the form that the settings use.
import type { AddressInfo } from "node:net";

/** `host:port`, with IPv6 addresses in brackets (RFC 3986 section 3.2.2). */
export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A listener's address: `host:port`, `[ipv6]:port` or `unix:/path`. */
export function addressText(address: AddressInfo | string): string {
  return typeof address === "string" ? `unix:${address}` : hostPort(address.address, address.port);
}

export function addressesText(addresses: readonly (AddressInfo | string)[]): string {
  return addresses.map(addressText).join(", ");
}
