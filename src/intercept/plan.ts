// Derives what to intercept from a sidecar's settings and the command's options, or says why it cannot be intercepted.
import { isLoopbackHost, type ListenAddress } from "../config/formats.ts";
import { InterceptError } from "./nft.ts";
import type { EgressInterception, Interception } from "./rules.ts";
import type { InterceptSettings as Settings } from "./settings.ts";

export interface Wanted {
  readonly port?: number | undefined;
  readonly toPort?: number | undefined;
  readonly egressPorts?: readonly number[] | undefined;
  readonly sidecarUid?: number | undefined;
  readonly serviceUid?: number | undefined;
  readonly allowSsh?: boolean | undefined;
}

export interface Plan {
  readonly interception: Interception;
  /** True facts about the plan that the user may not have meant. */
  readonly notes: readonly string[];
}

const ssh = 22;
const tls = 443;
/** The user in the image. */
const imageUid = 65_532;

/** @throws InterceptError */
export function planOf(settings: Settings, wanted: Wanted): Plan {
  const { service, listen, admin } = settings;
  const port = wanted.port ?? portOfService(settings);
  const own = tcpOf(listen);
  const toPort = wanted.toPort ?? own[0]?.port;
  if (toPort === undefined)
    throw new InterceptError("OUTRIGGER_LISTEN is a unix socket: connections can be sent to a port alone");
  if (port === toPort)
    throw new InterceptError(
      `the sidecar and the service have the same port ${port}: give the sidecar another one in OUTRIGGER_LISTEN`,
    );
  if (port === ssh && wanted.allowSsh !== true)
    throw new InterceptError(
      "port 22 is ssh: taken by a sidecar it locks everybody out (--allow-ssh if it is not)",
    );
  if ("port" in admin && port === admin.port)
    throw new InterceptError(
      `port ${port} is the sidecar's admin listener, where probes of its health come: name the service's port`,
    );
  const at = own.filter((place) => place.port === toPort);
  const notes = at.length === 0 ? [] : listenNotes(at, toPort);
  const egress = wanted.egressPorts && egressOf(settings, wanted, wanted.egressPorts);
  return {
    interception: { service, port, toPort, ...(egress && { egress }) },
    notes:
      egress?.users && "allBut" in egress.users && egress.users.allBut === 0
        ? [...notes, "nothing of what runs as root is sent to the egress listener: --sidecar-uid is 0"]
        : notes,
  };
}

interface Tcp {
  readonly host: string;
  readonly port: number;
}

const tcpOf = (places: readonly ListenAddress[]): Tcp[] => places.filter((place) => "port" in place);

function portOfService({ upstream: { socketPath, host, port, name } }: Settings): number {
  if (socketPath !== undefined)
    throw new InterceptError(
      "OUTRIGGER_UPSTREAM is a unix socket: nobody else reaches the service there, and there is no port to intercept",
    );
  if (!isLoopbackHost(host))
    throw new InterceptError(
      `OUTRIGGER_UPSTREAM names ${name}, which is not on loopback: only a service on this machine (or in this pod) can be intercepted`,
    );
  return port;
}

/** Redirected connections arrive at an address of the interface that they came in by, so loopback is not enough. */
function listenNotes(at: readonly Tcp[], toPort: number): string[] {
  const outer = at.filter(({ host }) => !isLoopbackHost(host));
  if (outer.length === 0)
    throw new InterceptError(
      `OUTRIGGER_LISTEN has port ${toPort} on loopback alone, where no redirected connection comes: listen on 0.0.0.0:${toPort},[::]:${toPort}`,
    );
  const six = outer.some(({ host }) => host.includes(":"));
  const four = outer.some(({ host }) => host === "::" || !host.includes(":"));
  const lacking = !six ? "IPv6" : !four ? "IPv4" : undefined;
  return lacking === undefined
    ? []
    : [
        `clients that come by ${lacking} are refused: OUTRIGGER_LISTEN has no address of it ([::]:${toPort} takes both)`,
      ];
}

function egressOf({ egress }: Settings, wanted: Wanted, ports: readonly number[]): EgressInterception {
  const { serviceUid, sidecarUid = imageUid } = wanted;
  if (egress === undefined)
    throw new InterceptError(
      "OUTRIGGER_EGRESS is not set: there is no listener that outbound calls could be sent to",
    );
  if (!("port" in egress) || egress.port === 0)
    throw new InterceptError(
      "OUTRIGGER_EGRESS must be a fixed port of 127.0.0.1: connections can be sent to a port alone",
    );
  if (!["127.0.0.1", "::1", "localhost"].includes(egress.host))
    throw new InterceptError(
      `OUTRIGGER_EGRESS is at ${egress.host}, and redirected calls come to 127.0.0.1: listen there`,
    );
  if (ports.includes(ssh) && wanted.allowSsh !== true)
    throw new InterceptError(
      "outbound port 22 is ssh, which the egress listener does not speak (--allow-ssh if it is not)",
    );
  if (ports.includes(tls))
    throw new InterceptError(
      "outbound port 443 is TLS, which the egress listener cannot look into: have the service call http://, the sidecar speaks TLS",
    );
  if (ports.includes(egress.port))
    throw new InterceptError(`outbound port ${egress.port} is that of OUTRIGGER_EGRESS itself`);
  if (serviceUid !== undefined && serviceUid === sidecarUid)
    throw new InterceptError(
      `service and sidecar both run as user ${serviceUid}: their calls cannot be told apart; give the service another user`,
    );
  const sorted = [...new Set(ports)].toSorted((a, b) => a - b);
  const users = serviceUid === undefined ? { allBut: sidecarUid } : { only: serviceUid };
  return { ports: sorted, toPort: egress.port, users };
}
