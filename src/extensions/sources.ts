// Creates the sources of packages from the settings.
import type { HostPattern } from "../config/formats.ts";
import { createFileSource } from "./file-source.ts";
import { HostClient } from "./host-client.ts";
import { createHttpsSource } from "./https-source.ts";
import { createOciSource } from "./oci-source.ts";
import { createRedisSource, type PackageRedis } from "./redis-source.ts";
import type { PackageSources } from "./source.ts";

export interface SourceSettings {
  /** OUTRIGGER_PLUGIN_DIR. */
  readonly pluginDir: string | undefined;
  /** OUTRIGGER_PLUGIN_HOSTS. */
  readonly pluginHosts: readonly HostPattern[];
}

/** @param store undefined = there is no Redis */
export function createSources(
  { pluginDir, pluginHosts }: SourceSettings,
  store: PackageRedis | undefined,
): PackageSources {
  const client = new HostClient({ hosts: pluginHosts });
  return {
    file: createFileSource(pluginDir),
    redis: createRedisSource(store),
    https: createHttpsSource(client),
    oci: createOciSource(client),
  };
}
