// Decides the priority of a request by its path and the caller's plan.
import { compilePaths, type PathSet } from "../../../src/language/path-pattern.ts";
import type { Exchange, RouteInfo } from "../../../src/plugin-api/contract.ts";
import type { OverloadOptions } from "./options.ts";
import type { Priority } from "./overload.ts";

/** The paths and plans whose requests have a priority. */
interface PriorityClass {
  readonly priority: Priority;
  readonly paths: PathSet;
  readonly plans: ReadonlySet<string>;
}

function compilePriorities(
  { critical, high, low }: OverloadOptions,
  foldsCase: boolean,
): readonly PriorityClass[] {
  const all = [
    ["critical", critical],
    ["high", high],
    ["low", low],
  ] as const;
  return all.map(([priority, { paths, plans }]) => ({
    priority,
    paths: compilePaths(paths, foldsCase),
    plans: new Set(plans),
  }));
}

// Cached because thousands of routes share the options of the policy's top.
const withCase = new WeakMap<OverloadOptions, readonly PriorityClass[]>();
const withoutCase = new WeakMap<OverloadOptions, readonly PriorityClass[]>();

export function priorityReader(
  overload: OverloadOptions,
  planOf: (exchange: Exchange) => string,
  { caseInsensitive }: RouteInfo,
): (exchange: Exchange) => Priority {
  const compiled = caseInsensitive ? withoutCase : withCase;
  const classes = compiled.get(overload) ?? compilePriorities(overload, caseInsensitive);
  compiled.set(overload, classes);
  return function priorityOf(exchange) {
    const plan = planOf(exchange);
    for (const { priority, paths, plans } of classes) {
      if (plans.has(plan) || paths.couldBe(exchange.request)) return priority;
    }
    return "normal";
  };
}
