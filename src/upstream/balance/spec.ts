// The specification of an upstream with several endpoints, from the policy, with all defaults filled in.
import type { UpstreamTarget } from "../transport.ts";

export interface HealthRules {
  /** Requested with GET; 2xx and 3xx count as healthy. */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good answers in a row that make the endpoint healthy again. */
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

export interface OutlierRules {
  /** Failures in a row; 0 = no endpoint is ejected. */
  readonly consecutiveFailures: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionPercent: number;
}

export interface EndpointSpec {
  readonly target: UpstreamTarget;
  readonly zone: string | undefined;
  /** The host is a name; each of its addresses becomes an endpoint. */
  readonly resolves: boolean;
}

export interface BalancedSpec {
  readonly name: string;
  readonly endpoints: readonly EndpointSpec[];
  readonly balance: "least-request" | "ring-hash";
  /** Lower-case name of the field whose value is the hash key; undefined = the client is the key. */
  readonly hashOn: string | undefined;
  /** undefined = no health checks. */
  readonly health: HealthRules | undefined;
  readonly outlier: OutlierRules;
}
