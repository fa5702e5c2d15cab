// An upstream with several endpoints, as the policy names it, with everything filled in.
import type { UpstreamTarget } from "../transport.ts";

export interface HealthRules {
  /** Asked with GET; 2xx and 3xx are good. */
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good answers in a row that make it healthy again. */
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

export interface OutlierRules {
  /** In a row; 0 = none is ejected. */
  readonly consecutiveFailures: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionPercent: number;
}

export interface EndpointSpec {
  readonly target: UpstreamTarget;
  readonly zone: string | undefined;
  /** Its host is a name whose addresses are endpoints each. */
  readonly resolves: boolean;
}

export interface BalancedSpec {
  readonly name: string;
  readonly endpoints: readonly EndpointSpec[];
  readonly balance: "least-request" | "ring-hash";
  /** Lower-case name of the field by whose value requests are spread; undefined = by the client. */
  readonly hashOn: string | undefined;
  /** undefined = nobody is asked how it is. */
  readonly health: HealthRules | undefined;
  readonly outlier: OutlierRules;
}
