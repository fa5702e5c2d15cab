// Makes the options with which a policy's tests run, from the settings of the sidecar whose policy it is.
import type { Config } from "../config/config.ts";
import type { Clock, PluginDefinition, Secrets } from "../plugin-api/contract.ts";
import type { BenchOptions } from "../policy-tests/bench.ts";

export function benchOptions(
  config: Config,
  registry: readonly PluginDefinition[],
  clock: Clock,
  secrets: Secrets,
): BenchOptions {
  const { service, instance, region, upstream, upstreamTimeoutMs: timeoutMs, underscoreFields } = config;
  return {
    registry,
    clock,
    secrets,
    fleet: { service, instance, region },
    upstream,
    timeoutMs,
    fieldRules: config,
    keepsUnderscores: underscoreFields === "keep",
  };
}
