// The settings of egress: where the service sends its own calls to others, and where those may go.
import { isClosedAddress } from "../language/closed-addresses.ts";
import { parseSpiffeId } from "../language/spiffe-id.ts";
import {
  FormatError,
  isLoopbackHost,
  type ListenAddress,
  parseListen,
  parseUpstream,
  type UpstreamAddress,
} from "./formats.ts";
import { optional, type Setting } from "./setting.ts";

export interface EgressDestination {
  /** The host that the service calls, in lower case. */
  readonly host: string;
  /** The address of the sidecar there. */
  readonly address: UpstreamAddress;
  /** The SPIFFE id that the sidecar there must have. */
  readonly peer: string;
}

const maxDestinations = 256;

/** Every process that can connect here speaks in the service's name. */
function parseEgress(text: string): ListenAddress {
  const address = parseListen(text);
  if ("path" in address || isLoopbackHost(address.host)) return address;
  throw new FormatError(
    "must be on loopback, or a unix socket: whoever can connect there speaks in the service's name",
  );
}

function parseDestination(text: string): EgressDestination {
  const [host = "", place = "", peer = "", ...more] = text.split("=").map((part) => part.trim());
  if (!/^[A-Za-z0-9._-]{1,253}$/.test(host) || place === "" || more.length > 0)
    throw new FormatError("must be host=host:port=spiffe://trust-domain/path, comma-separated");
  if (parseSpiffeId(peer) === undefined)
    throw new FormatError(
      `${host}: must name the SPIFFE id of the sidecar there: spiffe://trust-domain/path`,
    );
  const address = parseUpstream(`https://${place}`);
  if (address.basePath !== undefined) throw new FormatError(`${host}: takes host:port, no path`);
  if (isClosedAddress(address.host))
    throw new FormatError(
      `${host}: ${address.host} is a link-local or metadata address, which is never connected to`,
    );
  return { host: host.toLowerCase(), address, peer };
}

function parseDestinations(text: string): readonly EgressDestination[] {
  const list = text.split(",").map((each) => parseDestination(each.trim()));
  if (list.length > maxDestinations)
    throw new FormatError(`must hold at most ${maxDestinations} destinations`);
  const hosts = list.map(({ host }) => host);
  const twice = hosts.find((host, at) => hosts.indexOf(host) !== at);
  if (twice !== undefined) throw new FormatError(`must not name ${twice} twice`);
  return list;
}

export const egressSettings = {
  egress: optional(
    "OUTRIGGER_EGRESS",
    parseEgress,
    "Where the service's own calls to others come in: host:port on loopback, or unix:/path; unset: nowhere",
  ),
  egressTo: optional(
    "OUTRIGGER_EGRESS_TO",
    parseDestinations,
    "Whom these calls may go to, comma-separated: host=host:port=SPIFFE id, for the host that is called, the sidecar there, and who that must be",
  ),
} as const satisfies Record<string, Setting<unknown>>;
