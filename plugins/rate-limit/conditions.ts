// Decides whether a request meets the conditions of a limit: methods, paths, plans, with or without an identity.
import { compileMethods } from "../../src/language/methods.ts";
import { compilePaths } from "../../src/language/path-pattern.ts";
import type { Exchange } from "../../src/plugin-api/contract.ts";
import type { Conditions } from "./options.ts";

/** @returns undefined when every request qualifies */
export function compileConditions(
  when: Conditions,
  planOf: (exchange: Exchange) => string,
  foldsCase: boolean,
): ((exchange: Exchange) => boolean) | undefined {
  const { plans, identified } = when;
  const paths = when.paths.length === 0 ? undefined : compilePaths(when.paths, foldsCase);
  const methods = when.methods.length === 0 ? undefined : compileMethods(when.methods);
  if (methods === undefined && plans.length === 0 && identified === null && paths === undefined) {
    return undefined;
  }
  return function applies(exchange) {
    if (methods?.has(exchange.request.method) === false) return false;
    if (identified !== null && identified !== (exchange.identity !== undefined)) return false;
    if (plans.length > 0 && !plans.includes(planOf(exchange))) return false;
    return paths === undefined || paths.couldBe(exchange.request);
  };
}
