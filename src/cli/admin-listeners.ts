// The admin listeners that a command asks: those that the operator names. What sidecars say of themselves in Redis is not
// followed: whoever can write there would be sent the admin token.
import { type AdminListener, listenersAt } from "../admin/ask.ts";
import type { Config } from "../config/config.ts";
import { FormatError, type ListenAddress, parseListen } from "../config/formats.ts";

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
    for (const each of await listenersAt(address)) found.set(each.name, each);
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
