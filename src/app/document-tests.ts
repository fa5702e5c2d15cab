// Runs the tests of policy documents that no sidecar has yet, for each service that they are for. `policy test` and
// `policy apply` use it.
import type { Config } from "../config/config.ts";
import { runTests, type TestResult } from "../policy-tests/run.ts";
import { standInSecrets } from "../policy-tests/stand-in-secrets.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import { createPolicyReader, type EffectivePolicy, type RawPolicy } from "../policy/read.ts";
import { systemClock } from "../runtime/clock.ts";
import { benchOptions } from "./bench-options.ts";
import { pluginsByName, registry } from "./registry.ts";

/** Test results, with the services that they hold for. */
export interface ServiceResults {
  readonly services: readonly string[];
  readonly results: readonly TestResult[];
}

/** Stands for all services that the document does not name: no service can have this name. */
const unnamed = "(any other)";

/**
 * @param named services about which the shared document says something
 * @param service the only service to test; undefined = the named ones, and one that stands for all others
 * Rejects with PolicyRefused when the documents are not valid, or their tests take too long; with another Error when a
 * plugin cannot be set up.
 */
export async function testDocuments(
  config: Config,
  raw: RawPolicy,
  named: readonly string[],
  service: string | undefined,
  packages: FindPackages,
): Promise<readonly ServiceResults[]> {
  const groups = await policiesFor(config, raw, named, service, packages);
  const secrets = standInSecrets(config.secrets, registry);
  const found: ServiceResults[] = [];
  for (const { policy, services: alike } of groups) {
    const options = benchOptions({ ...config, service: alike[0] as string }, registry, systemClock, secrets);
    found.push({ services: alike, results: await runTests(policy, options) });
  }
  return found;
}

/** A policy, with the services that have it. */
export interface ServicesPolicy {
  readonly policy: EffectivePolicy;
  readonly services: readonly string[];
}

/**
 * Reads the policy of each service of `testDocuments`. Services with the same policy share one entry. Rejects with
 * PolicyRefused.
 */
export async function policiesFor(
  config: Config,
  raw: RawPolicy,
  named: readonly string[],
  service: string | undefined,
  packages: FindPackages,
): Promise<readonly ServicesPolicy[]> {
  const other = named.includes(config.service) ? unnamed : config.service;
  const services = service === undefined ? [...named, other] : [service];
  const groups = new Map<string, { readonly policy: EffectivePolicy; readonly services: string[] }>();
  for (const each of services) {
    const policy = await readFor(each, config, raw, packages);
    const identity = JSON.stringify([policy.digest, policy.tests.map(({ place }) => place)]);
    const group = groups.get(identity);
    if (group === undefined) groups.set(identity, { policy, services: [each] });
    else group.services.push(each);
  }
  return [...groups.values()];
}

export async function readFor(
  service: string,
  { upstreamAllow, policyMaxBytes: maxBytes }: Config,
  raw: RawPolicy,
  packages: FindPackages,
): Promise<EffectivePolicy> {
  const read = await createPolicyReader({
    plugins: pluginsByName,
    packages,
    service,
    upstreamAllow,
    keys: undefined,
    maxBytes,
  });
  return read(raw);
}
