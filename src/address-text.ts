// Where something listens, as the settings write it.
import type { AddressInfo } from "node:net";

/** `host:port`, `[ipv6]:port` or `unix:/path` */
export function addressText(address: AddressInfo | string): string {
  if (typeof address === "string") return `unix:${address}`;
  return address.family === "IPv6"
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
