// Creates the store of packages for a policy's extensions. The process that governs, its workers and commands use the
// same sources.
import type { CheckDisk } from "../files/check-disk.ts";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { PackageStore } from "../extensions/package-store.ts";
import type { PackageRedis } from "../extensions/redis-source.ts";
import type { RightsGiver } from "../extensions/rights.ts";
import { createSources } from "../extensions/sources.ts";

/** Shorter than the time limit for reading a policy, so that the error names the package that is late. */
const limitMs = 20_000;

/** @param store undefined = there is no Redis */
export function createPackageStore(
  config: Pick<Config, "pluginDir" | "pluginHosts" | "policyKeys" | "redis" | "stateDir">,
  store: PackageRedis | undefined,
  onTrouble: (message: string) => void,
  checkDisk?: CheckDisk,
): PackageStore {
  const { stateDir } = config;
  return new PackageStore({
    sources: createSources(config, store),
    // Workers find there what their primary has fetched. Without a folder each process fetches for itself.
    dir: stateDir === undefined ? undefined : join(stateDir, "packages"),
    onTrouble,
    checkDisk,
    rightsBy: rightsBy(config),
    limitMs,
  });
}

/**
 * Decides who may grant rights to packages. Where policies need no signature, anyone who can write to Redis could
 * otherwise run code with the sidecar's rights.
 */
function rightsBy({
  policyKeys,
  redis,
  pluginDir,
}: Pick<Config, "pluginDir" | "policyKeys" | "redis">): RightsGiver {
  if (policyKeys !== undefined || redis === undefined) return "policies";
  return pluginDir === undefined ? "nobody" : "folder";
}
