// The admin listeners of siblings, as OUTRIGGER_PEERS names them.
import { FormatError, members, parseListen } from "./formats.ts";

export interface PeerAddress {
  /** A name is all addresses that it has. */
  readonly host: string;
  readonly port: number;
}

const adminPort = 9901;
const maxNames = 16;

/** `host`, `host:port` or `[ipv6]:port`, several with commas; without a port it is that of admin listeners. */
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
