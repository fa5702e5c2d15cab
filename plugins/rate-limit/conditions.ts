// Which requests something is about: methods, paths, plans, with or without an identity.
import type { Exchange } from "../../src/pipeline/contract.ts";
import type { Conditions } from "./options.ts";

/** @returns undefined when every request qualifies */
export function compileConditions(
  when: Conditions,
  planOf: (exchange: Exchange) => string,
): ((exchange: Exchange) => boolean) | undefined {
  const { methods, plans, identified } = when;
  const isPath = when.paths.length === 0 ? undefined : compilePaths(when.paths);
  if (methods.length === 0 && plans.length === 0 && identified === null && isPath === undefined) {
    return undefined;
  }
  return function applies(exchange) {
    if (methods.length > 0 && !methods.includes(exchange.request.method)) return false;
    if (identified !== null && identified !== (exchange.identity !== undefined)) return false;
    if (plans.length > 0 && !plans.includes(planOf(exchange))) return false;
    return isPath === undefined || isPath(exchange.request.path);
  };
}

/** @param patterns exact paths, or prefixes that end in `/*` and take whole segments */
export function compilePaths(patterns: readonly string[]): (path: string) => boolean {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  for (const pattern of patterns) {
    if (!pattern.endsWith("/*")) {
      exact.add(pattern);
      continue;
    }
    exact.add(pattern.slice(0, -2) || "/");
    prefixes.push(pattern.slice(0, -1));
  }
  return (path) => exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix));
}
