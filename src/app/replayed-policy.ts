// Replays recorded requests on a policy that may not be in force anywhere yet, for `policy replay`.
import type { Config } from "../config/config.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { Changes } from "../policy-replay/changes.ts";
import type { RecordedRequest } from "../policy-replay/recorded-request.ts";
import { replay } from "../policy-replay/replay.ts";
import { standInSecrets } from "../policy-tests/stand-in-secrets.ts";
import { systemClock } from "../runtime/clock.ts";
import { benchOptions } from "./bench-options.ts";
import { readFor } from "./document-tests.ts";
import { registry } from "./registry.ts";

/**
 * @param requests in the order in which they were made
 * @param rawFor returns the documents that would be in force for a service
 * Rejects with PolicyRefused when the documents are not valid, and with another Error when a plugin cannot be set up.
 */
export async function replayRequests(
  config: Config,
  requests: Iterable<RecordedRequest>,
  rawFor: (service: string) => Promise<RawPolicy>,
  packages: FindPackages,
): Promise<Changes> {
  const secrets = standInSecrets(config.secrets, registry);
  return await replay(requests, async (service) => {
    const policy = await readFor(service, config, await rawFor(service), packages);
    return { policy, options: benchOptions({ ...config, service }, registry, systemClock, secrets) };
  });
}
