// Finds which operations a policy, which may not be in force anywhere yet, lets whom reach: for `policy coverage`.
import type { Config } from "../config/config.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import type { RawPolicy } from "../policy/read.ts";
import { type Covered, coverageOf } from "../policy-coverage/coverage.ts";
import type { Operation } from "../policy-coverage/operation.ts";
import { standInSecrets } from "../policy-tests/stand-in-secrets.ts";
import { systemClock } from "../runtime/clock.ts";
import { benchOptions } from "./bench-options.ts";
import { policiesFor } from "./document-tests.ts";
import { registry } from "./registry.ts";

/** A result, with the services that it holds for. */
export interface ServicesCoverage {
  readonly services: readonly string[];
  /** Plugins that the policy brings. They cannot say for what they have rules and limits. */
  readonly extensions: readonly string[];
  readonly operations: readonly Covered[];
}

export interface AskedOperations {
  /** Services whose policies may differ. */
  readonly named: readonly string[];
  /** The only service to check; undefined = the named ones, and one that stands for all others. */
  readonly service: string | undefined;
  /** Returns a service's operations. Services with the same operations must get the same list object. */
  readonly of: (service: string) => readonly Operation[];
  /** Whether the paths are the service's own: clients may write a `stripPrefix` before them. */
  readonly stripped: boolean;
}

/** Rejects with PolicyRefused when the policy is not valid, and with another Error when a plugin cannot be set up. */
export async function policyCoverage(
  config: Config,
  raw: RawPolicy,
  { named, service, of, stripped }: AskedOperations,
  packages: FindPackages,
): Promise<readonly ServicesCoverage[]> {
  const secrets = standInSecrets(config.secrets, registry);
  const found: ServicesCoverage[] = [];
  for (const { policy, services } of await policiesFor(config, raw, named, service, packages)) {
    const extensions = policy.extensions.map(({ name }) => name);
    for (const [operations, alike] of Map.groupBy(services, of)) {
      if (operations.length === 0) continue;
      const own = benchOptions({ ...config, service: alike[0] as string }, registry, systemClock, secrets);
      const covered = await coverageOf(policy, operations, { ...own, stripped });
      found.push({ services: alike, extensions, operations: covered });
    }
  }
  return found;
}
