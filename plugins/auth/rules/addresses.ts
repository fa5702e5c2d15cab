// Ranges of client addresses, compiled into the runtime's own BlockList.
import { BlockList, isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** @param ranges addresses or CIDR ranges; an IPv4 range also takes the same addresses mapped into IPv6 */
export function compileRanges(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    if (isIP(range) !== 0) list.addAddress(range, isIP(range) === 4 ? "ipv4" : "ipv6");
    else {
      const [network, bits] = ipaddr.parseCIDR(range);
      list.addSubnet(network.toString(), bits, network.kind());
    }
  }
  return (address) => {
    // BlockList throws at a zone: whoever still has one is in no range.
    const family = address.includes("%") ? 0 : isIP(address);
    return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
  };
}
