// Parses OUTRIGGER_PEERS: the admin listeners of sibling sidecars.
import { FormatError, members, parseListen } from "./formats.ts";

export interface PeerAddress {
  /** A name stands for all addresses that it resolves to. */
  readonly host: string;
  readonly port: number;
}

const adminPort = 9901;
const maxNames = 16;

/** `host`, `host:port` or `[ipv6]:port`, comma-separated; the default port is that of admin listeners. */
export function parsePeers(text: string): readonly PeerAddress[] {
  const peers = members(text).map((member) => {
    const address = parseListen(/^(?:\[[^\]]*\]|[^:]+)$/.test(member) ? `${member}:${adminPort}` : member);
    if ("path" in address)
      throw new FormatError("must be names or addresses of other hosts, not a unix socket");
    return address;
  });
  if (peers.length > maxNames) throw new FormatError(`must hold at most ${maxNames} names`);
  return peers;
}
