// Builds the specification of a balanced upstream from the policy, with all defaults filled in.
import { isIP } from "node:net";
import { isLoopbackHost, parseUpstream, type UpstreamAddress } from "../config/formats.ts";
import type { UpstreamField } from "../policy/document/upstreams-field.ts";
import type { BalancedSpec } from "../upstream/balance/spec.ts";
import type { UpstreamTarget } from "../upstream/transport.ts";

/** @param targetOf adds protocol and certificate checks to an endpoint's address */
export function balancedSpec(
  name: string,
  field: UpstreamField,
  targetOf: (address: UpstreamAddress) => UpstreamTarget,
): BalancedSpec {
  const { endpoints, balance = "least-request", hashOn, health, outlier = {} } = field;
  return {
    name,
    endpoints: endpoints.map((each) => {
      const { url, zone } = typeof each === "string" ? { url: each } : each;
      const address = parseUpstream(url);
      const { host, socketPath } = address;
      const resolves = socketPath === undefined && isIP(host) === 0 && !isLoopbackHost(host);
      return { target: targetOf(address), zone, resolves };
    }),
    balance,
    hashOn,
    health: health && {
      path: health.path,
      intervalMs: health.intervalMs ?? 5_000,
      timeoutMs: health.timeoutMs ?? 1_000,
      healthyThreshold: health.healthyThreshold ?? 2,
      unhealthyThreshold: health.unhealthyThreshold ?? 3,
    },
    outlier: {
      consecutiveFailures: outlier.consecutiveFailures ?? 5,
      baseEjectionMs: outlier.baseEjectionMs ?? 30_000,
      maxEjectionMs: outlier.maxEjectionMs ?? 300_000,
      maxEjectionPercent: outlier.maxEjectionPercent ?? 50,
    },
  };
}
