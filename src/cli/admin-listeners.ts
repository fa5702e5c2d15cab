// The admin listeners that a command asks: those that the operator names. What sidecars say of themselves in Redis is not
// followed: whoever can write there would be sent the admin token.
import { lookup } from "node:dns/promises";
import http from "node:http";
import type { Config } from "../config/config.ts";
import { FormatError, type ListenAddress, parseListen } from "../config/formats.ts";

export interface AdminListener {
  /** For people. */
  readonly name: string;
  readonly address: ListenAddress;
}

export interface AdminReply {
  readonly status: number;
  readonly body: string;
}

const limitMs = 5_000;
const maxBytes = 4_194_304;
const maxListeners = 1_000;

/**
 * @param named by `--admin`; a name that has several addresses is all of them, as that of a headless service is. Without any:
 * where a sidecar with this environment listens
 * Rejects with FormatError for what is no address, and with another Error for a name that is not known.
 */
export async function adminListeners(config: Config, named: readonly string[]): Promise<AdminListener[]> {
  const asked = named.length === 0 ? [ownListener(config)] : named.map(parseListen);
  const found = new Map<string, AdminListener>();
  for (const address of asked) {
    for (const each of await addressesOf(address)) {
      const name = "path" in each ? `unix:${each.path}` : hostPort(each.host, each.port);
      found.set(name, { name, address: each });
    }
  }
  if (found.size > maxListeners) throw new FormatError(`names more than ${maxListeners} sidecars`);
  return [...found.values()];
}

/** One that listens everywhere is reached by loopback. */
function ownListener({ admin }: Config): ListenAddress {
  if ("path" in admin) return admin;
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  return { ...admin, host: everywhere[admin.host] ?? admin.host };
}

async function addressesOf(address: ListenAddress): Promise<readonly ListenAddress[]> {
  if ("path" in address) return [address];
  const found = await lookup(address.host, { all: true });
  return found.map(({ address: host }) => ({ host, port: address.port }));
}

const hostPort = (host: string, port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** A request to an admin listener. @param signal ends it, also once its answer has begun */
export function askAdmin(
  { name, address }: AdminListener,
  path: string,
  token: string | undefined,
  signal: AbortSignal,
): http.ClientRequest {
  const where = "path" in address ? { socketPath: address.path } : { host: address.host, port: address.port };
  return http.get({
    ...where,
    path,
    signal,
    agent: false,
    headers: {
      host: "path" in address ? "localhost" : name,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  });
}

/** Rejects when it is out of reach, answers too late or too much. */
export async function readAdmin(
  listener: AdminListener,
  path: string,
  token: string | undefined,
): Promise<AdminReply> {
  const { promise, resolve, reject } = Promise.withResolvers<AdminReply>();
  const request = askAdmin(listener, path, token, AbortSignal.timeout(limitMs));
  request.once("error", reject);
  request.once("response", (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    response.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) request.destroy(new Error(`answers with more than ${maxBytes} bytes`));
      else chunks.push(chunk);
    });
    response.once("error", reject);
    response.once("end", () =>
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
    );
  });
  return await promise;
}
