// Finds the admin listeners that a command asks: those that the operator names. It does not use the addresses that
// sidecars write to Redis, because anyone who can write there would be sent the admin token.
import { type AdminListener, listenersAt } from "../admin/ask.ts";
import type { Config } from "../config/config.ts";
import { FormatError, type ListenAddress, parseListen } from "../config/formats.ts";

const maxListeners = 1_000;

/**
 * @param named addresses of `--admin`. A name with several addresses (a headless service) stands for all of them.
 * Empty: the address where a sidecar with this environment listens
 * Rejects with FormatError when an address is malformed, and with another Error for an unknown name.
 */
export async function adminListeners(config: Config, named: readonly string[]): Promise<AdminListener[]> {
  const asked = named.length === 0 ? [ownListener(config)] : named.map(parseListen);
  const found = new Map<string, AdminListener>();
  for (const address of asked) {
    for (const each of await listenersAt(address)) found.set(each.name, each);
  }
  if (found.size > maxListeners) throw new FormatError(`names more than ${maxListeners} sidecars`);
  return [...found.values()];
}

/** A sidecar that listens on all addresses is reached on loopback. */
function ownListener({ admin }: Config): ListenAddress {
  if ("path" in admin) return admin;
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  return { ...admin, host: everywhere[admin.host] ?? admin.host };
}
