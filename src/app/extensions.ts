// Where the packages of a policy's extensions come from: the same for the process that governs, its workers, and commands.
import type { CheckDisk } from "../files/check-disk.ts";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { PackageStore } from "../extensions/package-store.ts";
import type { PackageRedis } from "../extensions/redis-source.ts";
import type { RightsGiver } from "../extensions/rights.ts";
import { createSources } from "../extensions/sources.ts";

/** Shorter than the time for reading a policy, so that it is told which package is late. */
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
    // Workers find there what the process above them has fetched. Without a folder each fetches for itself.
    dir: stateDir === undefined ? undefined : join(stateDir, "packages"),
    onTrouble,
    checkDisk,
    rightsBy: rightsBy(config),
    limitMs,
  });
}

/** Whoever can write to Redis could have code of theirs run with the sidecar's rights, where policies need no signature. */
function rightsBy({
  policyKeys,
  redis,
  pluginDir,
}: Pick<Config, "pluginDir" | "policyKeys" | "redis">): RightsGiver {
  if (policyKeys !== undefined || redis === undefined) return "policies";
  return pluginDir === undefined ? "nobody" : "folder";
}
