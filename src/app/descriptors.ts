// Divides the file descriptors that the system allows this process. A listener that takes more connections than there
// are descriptors leaves none for the service, Redis and the health check, and resets new clients.
import { readdirSync, readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import type { Logger } from "../plugin-api/telemetry.ts";

/** Descriptors kept for Redis, issuers, files and the admin listener; a quarter of the limit if that is less. */
const maxReserved = 128;

/** How many descriptors this process may have open; undefined when the system does not tell (no /proc). */
export function maxOpenFiles(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

type Connections = Pick<Config, "maxConnections" | "upstreamConnections" | "upstreamUpgrades">;

/**
 * Divides the descriptors: a third of what is left goes to requests to the service, a quarter to upgrades (each also
 * takes a client's connection), the rest to clients. None gets more than its setting.
 * @param limit how many the process may have open
 * @param open how many it has open already
 * @returns the settings that can be kept, and the number of connections for the admin listener
 * @throws Error when too few are left to serve anybody
 */
export function divideDescriptors<T extends Connections>(
  config: T,
  limit: number,
  open: number,
): { config: T; adminConnections: number } {
  const reserved = Math.min(maxReserved, Math.floor(limit / 4));
  const left = limit - open - reserved;
  const upstreamConnections = Math.min(config.upstreamConnections, Math.floor(left / 3));
  const upstreamUpgrades = Math.min(config.upstreamUpgrades, Math.floor(left / 4));
  const maxConnections = Math.min(config.maxConnections, left - upstreamConnections - upstreamUpgrades);
  if (upstreamConnections < 1) {
    throw new Error(
      `the system lets this process open ${limit} files, too few to serve: raise it (ulimit -n, LimitNOFILE=)`,
    );
  }
  return {
    config: { ...config, maxConnections, upstreamConnections, upstreamUpgrades },
    adminConnections: reserved >> 1,
  };
}

/** Applies `divideDescriptors` to this process, and logs when the settings ask for more than there is. */
export function fitDescriptors(config: Config, logger: Logger): { config: Config; adminConnections: number } {
  const limit = maxOpenFiles();
  if (limit === undefined) return { config, adminConnections: maxReserved >> 1 };
  const fitted = divideDescriptors(config, limit, openFiles());
  const { maxConnections, upstreamConnections, upstreamUpgrades } = fitted.config;
  if (
    maxConnections < config.maxConnections ||
    upstreamConnections < config.upstreamConnections ||
    upstreamUpgrades < config.upstreamUpgrades
  ) {
    logger.warn(
      { maxOpenFiles: limit, maxConnections, upstreamConnections, upstreamUpgrades },
      "the system lets this process open too few files for OUTRIGGER_MAX_CONNECTIONS, OUTRIGGER_UPSTREAM_CONNECTIONS and OUTRIGGER_UPSTREAM_UPGRADES: it takes fewer (ulimit -n, LimitNOFILE=)",
    );
  }
  return fitted;
}
