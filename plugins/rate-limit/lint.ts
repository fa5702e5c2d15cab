// Lint rules for `policy lint`: limits that count nothing or can never refuse, and routes without an effective limit.
import { isDeepStrictEqual } from "node:util";
import type { LintFinding, LintRoute, LintRouteReach, PluginLint } from "../../src/plugin-api/contract.ts";
import type { LimitOptions, RateLimitOptions } from "./options.ts";
import { isStricter } from "./stricter.ts";

interface Listed {
  readonly limit: LimitOptions;
  readonly path: readonly (string | number)[];
  /** The plan whose list has the limit; undefined = the list for every plan. */
  readonly plan: string | undefined;
}

function listed({ limits, plans }: RateLimitOptions): Listed[] {
  const own = limits.map((limit, index) => ({ limit, path: ["limits", index], plan: undefined }));
  const byPlan = Object.entries(plans).flatMap(([plan, list]) =>
    list.map((limit, index) => ({ limit, path: ["plans", plan, index], plan })),
  );
  return [...own, ...byPlan];
}

/** The plan of callers whose own plan is unknown: see plans.ts. */
const standardPlan = ({ plans, defaultPlan }: RateLimitOptions): string =>
  defaultPlan ?? Object.keys(plans)[0] ?? "";

/** @returns why the limit counts no request of the route; undefined = it counts some */
function idleBecause(
  { limit, plan }: Listed,
  options: RateLimitOptions,
  route: LintRoute,
): string | undefined {
  const { when } = limit;
  const methods = when.methods.length === 0 ? undefined : when.methods;
  const paths = when.paths.length === 0 ? ["/*"] : when.paths;
  const known = route.provides("identity");
  const standard = standardPlan(options);
  const names = Object.keys(options.plans);
  const isTaken = (name: string): boolean =>
    name === standard || (known && (names.length === 0 || names.includes(name)));
  if (!paths.some((path) => route.serves(path, methods)))
    return "no request of its paths and methods comes here";
  if (when.identified === true && !known)
    return "it counts known callers, and no plugin here learns who calls";
  if (when.identified === false && route.provides("authentication"))
    return "it counts unknown callers, and none comes past authentication";
  if (plan !== undefined && !isTaken(plan))
    return "no plugin here learns who calls, so that nobody has that plan";
  if (when.plans.length > 0 && !when.plans.some(isTaken)) return "no caller can have one of its plans here";
  return undefined;
}

/** Whether the limit counts every request of the route, within its plan. */
function holdsAlways({ when, dryRun }: LimitOptions, route: LintRouteReach): boolean {
  if (dryRun || when.identified !== null || when.plans.length > 0) return false;
  const methods = when.methods.length === 0 ? undefined : when.methods;
  const paths = when.paths.length === 0 ? ["/*"] : when.paths;
  return paths.some((path) => route.isWithin(path, methods));
}

function isLimited({ limits, plans, concurrency, dryRun }: RateLimitOptions, route: LintRouteReach): boolean {
  if (dryRun) return false;
  if (concurrency !== null || limits.some((limit) => holdsAlways(limit, route))) return true;
  const lists = Object.values(plans);
  return lists.length > 0 && lists.every((list) => list.some((limit) => holdsAlways(limit, route)));
}

const isEmpty = (when: LimitOptions["when"]): boolean =>
  when.methods.length + when.paths.length + when.plans.length === 0 && when.identified === null;

/** @returns another limit of the same list that always refuses first */
function stricterThan({ limit, plan }: Listed, options: RateLimitOptions): LimitOptions | undefined {
  const list = plan === undefined ? options.limits : (options.plans[plan] ?? []);
  const replaced = new Set(
    plan === undefined
      ? Object.values(options.plans).flatMap((others) => others.map(({ name }) => name))
      : [],
  );
  return list.find(
    (other) =>
      other !== limit &&
      !other.dryRun &&
      !replaced.has(other.name) &&
      other.sharedBy === limit.sharedBy &&
      // Of two equal limits, the first one in the list counts as the stricter.
      isStricter(other, limit) &&
      (!isStricter(limit, other) || list.indexOf(other) < list.indexOf(limit)) &&
      isDeepStrictEqual([other.by, other.fallback], [limit.by, limit.fallback]) &&
      (isEmpty(other.when) || isDeepStrictEqual(other.when, limit.when)),
  );
}

/** Cached because thousands of routes share the same options. */
const neverBindingOf = new WeakMap<RateLimitOptions, readonly LintFinding[]>();

function neverBinding(options: RateLimitOptions): readonly LintFinding[] {
  return listed(options).flatMap((each) => {
    const by = stricterThan(each, options);
    if (by === undefined) return [];
    const message = `${each.limit.name} never refuses: ${by.name} is as strict or stricter at every moment`;
    return [{ path: each.path, message, advice: "lower it, loosen the other, or take it out" }];
  });
}

export const lint: PluginLint<RateLimitOptions> = {
  provides: {
    limit(options, route) {
      if (options.dryRun) return "rate-limit.dryRun is true: nothing is refused";
      return isLimited(options, route) || "no limit of rate-limit counts every request";
    },
  },
  rules: {
    "never-applies": {
      about: "A limit that counts no request of a route that has it",
      everywhere: true,
      *check(options, route): Generator<LintFinding> {
        for (const each of listed(options)) {
          const why = idleBecause(each, options, route);
          if (why === undefined) continue;
          const advice = "correct it, run the plugin on the route that was meant, or take it out";
          yield { path: each.path, message: `${each.limit.name} counts nothing: ${why}`, advice };
        }
      },
    },
    "never-binds": {
      about: "A limit that never refuses, because another always does so first",
      everywhere: true,
      check(options): readonly LintFinding[] {
        const found = neverBindingOf.get(options) ?? neverBinding(options);
        neverBindingOf.set(options, found);
        return found;
      },
    },
    "replaced-by-plans": {
      about: "A limit in whose place every plan has one of its name",
      everywhere: true,
      *check({ limits, plans }): Generator<LintFinding> {
        const lists = Object.values(plans);
        if (lists.length === 0) return;
        for (const [index, { name }] of limits.entries()) {
          if (!lists.every((list) => list.some((limit) => limit.name === name))) continue;
          const message = `${name} counts nobody: every plan has a limit of that name in its place`;
          yield { path: ["limits", index], message, advice: "give one of them another name, or take it out" };
        }
      },
    },
    "opens-without-store": {
      about: "`onStoreError: open`: no limit holds while Redis is away",
      *check({ onStoreError, limits, plans }): Generator<LintFinding> {
        if (onStoreError !== "open" || limits.length + Object.keys(plans).length === 0) return;
        yield {
          path: ["onStoreError"],
          message: "no limit holds while Redis is out of reach",
          advice: "take local, which is this sidecar's share of each limit, or allow it and say why",
        };
      },
    },
  },
};
