// Decides whether clients can reach the service without passing its sidecar: where its port is listened on in this
// network namespace, and whether connections from outside are redirected. Needs no privileges beyond a sidecar's.
import { connect } from "node:net";
import type { Config } from "../config/config.ts";
import { isLoopbackHost } from "../config/formats.ts";
import { hostPort } from "../language/address-text.ts";
import { listeningAt } from "./listening.ts";
import { probeAddress } from "./rules.ts";

export const bypassStates = ["closed", "intercepted", "open", "unknown"] as const;

export interface Bypass {
  readonly state: (typeof bypassStates)[number];
  /** One sentence, without a full stop. */
  readonly detail: string;
}

export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  readonly name: string;
}

export interface BypassOptions {
  /** Addresses at which the sidecar itself listens, each as `host:port`. */
  readonly own?: readonly string[];
  readonly listening?: (port: number) => Promise<readonly string[] | undefined>;
  /** Tries to connect. @returns "connected", or the error's code */
  readonly tried?: (host: string, port: number) => Promise<string>;
}

/** The addresses at which a sidecar with these settings listens, for `BypassOptions.own`. */
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
/** A second address to compare with the probe address. */
const controlAddress = "127.0.79.83";

/**
 * Rules of nftables reject the probe with an error that nothing else on loopback has. eBPF programs refuse the probe
 * address only. So if the control address connects and the probe is refused, the port is intercepted. If both are
 * refused, nothing listens at either. A process listening at the control address alone would prove nothing.
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
