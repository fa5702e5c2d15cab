// Whether the service can be reached past its sidecar: where its port is listened on in this network namespace, and whether
// what comes there from outside is sent to the sidecar. It takes no right that a sidecar lacks.
import { connect } from "node:net";
import type { Config } from "../config/config.ts";
import { isLoopbackHost } from "../config/formats.ts";
import { hostPort } from "../language/address-text.ts";
import { listeningAt } from "./listening.ts";
import { probeAddress } from "./rules.ts";

export const bypassStates = ["closed", "intercepted", "open", "unknown"] as const;

export interface Bypass {
  readonly state: (typeof bypassStates)[number];
  /** In one sentence, without its end. */
  readonly detail: string;
}

export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  readonly name: string;
}

export interface BypassOptions {
  /** Where the sidecar itself listens: `host:port` each. */
  readonly own?: readonly string[];
  readonly listening?: (port: number) => Promise<readonly string[] | undefined>;
  /** How a connection ends: "connected", or the error's code. */
  readonly tried?: (host: string, port: number) => Promise<string>;
}

/** Where a sidecar with these settings listens, as `own` of the options. */
export function ownAddresses({ listen, admin }: Pick<Config, "listen" | "admin">): readonly string[] {
  return [...listen, admin].flatMap((place) => ("port" in place ? [hostPort(place.host, place.port)] : []));
}

export async function lookForBypass(service: ServiceAddress, options: BypassOptions = {}): Promise<Bypass> {
  const { own = [], listening = listeningAt, tried = tryConnection } = options;
  const { host, port, socketPath, name } = service;
  if (socketPath !== undefined)
    return { state: "closed", detail: "the service listens at a socket of this machine alone" };
  if (!isLoopbackHost(host))
    return {
      state: "unknown",
      detail: `the service is at ${name}, and who reaches it there cannot be seen from here`,
    };
  const found = await listening(port);
  if (found === undefined)
    return { state: "unknown", detail: "this system does not tell where sockets listen (/proc/net/tcp)" };
  if (found.length === 0)
    return {
      state: "unknown",
      detail: `nothing listens on port ${port} here: the service is down, or in another network namespace`,
    };
  const outer = found.filter((address) => !isLoopbackHost(address) && !own.includes(hostPort(address, port)));
  if (outer.length === 0)
    return { state: "closed", detail: `the service's port ${port} is listened on at loopback alone` };
  const at = outer
    .slice(0, maxShown)
    .map((address) => hostPort(address, port))
    .join(", ");
  return (await isIntercepted(port, found, tried))
    ? { state: "intercepted", detail: `what comes from outside for ${at} is sent to the sidecar` }
    : {
        state: "open",
        detail: `the service listens at ${at}, too: whoever reaches that passes the sidecar by`,
      };
}

const maxShown = 4;
/** Beside the probe's. */
const controlAddress = "127.0.79.83";

/**
 * The rules of nftables answer the probe by an error that nothing else on loopback has. Programs of eBPF refuse it, as
 * they do nobody else there: where both are refused, nobody listens at either. Any process may listen at the second alone,
 * which would say nothing of the first.
 */
async function isIntercepted(
  port: number,
  listening: readonly string[],
  tried: NonNullable<BypassOptions["tried"]>,
): Promise<boolean> {
  const probe = await tried(probeAddress, port);
  if (probe === "EHOSTUNREACH") return true;
  if (probe !== "ECONNREFUSED" || listening.includes(controlAddress)) return false;
  return (await tried(controlAddress, port)) === "connected";
}

const limitMs = 1_000;

function tryConnection(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (how: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(how);
    };
    const timer = setTimeout(() => end("timeout"), limitMs);
    socket.once("connect", () => end("connected"));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? "error"));
  });
}
