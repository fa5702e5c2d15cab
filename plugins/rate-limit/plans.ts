// Decides which limits a caller is under: those of every caller plus those of the caller's plan.
import type { Exchange, Metrics } from "../../src/plugin-api/contract.ts";
import { policyField } from "./fields.ts";
import { overshootBound } from "./counting/leases.ts";
import { compileLimit, type CallerTables, type Limit } from "./limit.ts";
import type { LimitOptions, RateLimitOptions } from "./options.ts";
import type { PartitionContext } from "./partition.ts";
import { overshootBounds } from "./metrics.ts";

export interface PlanLimits {
  readonly limits: readonly Limit[];
  /** Value of RateLimit-Policy; "" when there is nothing to tell. */
  readonly policy: string;
}

export interface PlansContext {
  readonly route: string;
  /** Whether the route's paths are compared in any case. */
  readonly foldsCase: boolean;
  readonly service: string;
  readonly sidecars: number;
  readonly tables: CallerTables;
  readonly metrics: Metrics;
}

export interface Plans {
  readonly partition: PartitionContext;
  limitsOf(exchange: Exchange): PlanLimits;
}

/** @param furtherPolicies items of RateLimit-Policy for bounds that are not per time, such as concurrency */
export function compilePlans(
  options: RateLimitOptions,
  context: PlansContext,
  furtherPolicies: readonly string[],
): Plans {
  const planOf = createPlanReader(options);
  const partition = { service: context.service, ipv6Prefix: options.ipv6Prefix, planOf };
  const bound = overshootBounds(context.metrics);
  const compile = (plan: string, list: readonly LimitOptions[]): Limit[] =>
    list.map((one) => {
      const place = `${context.route} ${plan}`;
      const { leaseMs, dryRun } = options;
      const limit = compileLimit(one, { ...partition, ...context, place, leaseMs, dryRun });
      bound(limit.name).set(overshootBound(limit, context.sidecars));
      return limit;
    });
  const everybody = compile("", options.limits);
  const withPolicy = (limits: readonly Limit[]): PlanLimits => ({
    limits,
    policy: policyField(limits, furtherPolicies),
  });
  const none = withPolicy(everybody);
  const byPlan = new Map(
    Object.entries(options.plans).map(([plan, list]) => {
      const own = compile(plan, list);
      const others = everybody.filter(({ name }) => own.every((one) => one.name !== name));
      return [plan, withPolicy([...others, ...own])];
    }),
  );
  if (byPlan.size === 0) return { partition, limitsOf: () => none };
  return { partition, limitsOf: (exchange) => byPlan.get(planOf(exchange)) ?? none };
}

/** Reads the plan that a caller counts under; an unknown plan becomes the default. */
function createPlanReader({ plans, defaultPlan }: RateLimitOptions): (exchange: Exchange) => string {
  const known = new Set(Object.keys(plans));
  const standard = defaultPlan ?? Object.keys(plans)[0] ?? "";
  return function planOf({ identity }) {
    const plan = identity?.plan;
    return plan === undefined || (known.size > 0 && !known.has(plan)) ? standard : plan;
  };
}
