// The tests that a service's policy has to pass: those of the shared policy that are for it, and its layer's own.
import { normalisePath, PathError } from "../../language/request-path.ts";
import { compileMethods } from "../../language/methods.ts";
import { pathText, type Problem } from "../document/problems.ts";
import type { PolicyDocument, PolicyRoute } from "../document/schema.ts";
import type { PolicyTest } from "../document/tests-field.ts";
import type { SourceDocument } from "../document/written.ts";
import { isFor } from "./layers.ts";

/** A test with where it is written. */
export interface CarriedTest {
  readonly test: PolicyTest;
  readonly place: Omit<Problem, "message">;
}

/** @param service undefined = any: all of them */
export function carriedTests(
  shared: SourceDocument,
  layer: SourceDocument | undefined,
  service: string | undefined,
): readonly CarriedTest[] {
  return [shared, ...(layer === undefined ? [] : [layer])].flatMap((source) =>
    (source.document.tests ?? []).flatMap((test, index) => {
      if (!isTestFor(test, source === shared ? shared.document : undefined, service)) return [];
      const at = ["tests", index];
      const { line, column } = source.locate([...at, "name"]);
      const place = {
        path: pathText(at),
        ...(source.name !== undefined && { document: source.name }),
        ...(line !== undefined && { line }),
        ...(column !== undefined && { column }),
      };
      return [{ test, place }];
    }),
  );
}

/** @param shared undefined = the test is the layer's own */
function isTestFor(
  { services, expect, request }: PolicyTest,
  shared: PolicyDocument | undefined,
  service: string | undefined,
): boolean {
  if (service === undefined) return true;
  if (services !== undefined) return services.includes(service);
  const routes = shared?.routes ?? [];
  const { route } = expect;
  const meant =
    typeof route === "string" ? routes.filter(({ path }) => path === route) : taking(routes, request);
  // A path that no route takes, and a route that only layers have, are every service's.
  return meant.length === 0 || meant.some((each) => isFor(each, service));
}

/** The routes, of whichever service, that a request could be taken by. */
function taking(
  routes: readonly PolicyRoute[],
  { path: target, method = "GET" }: PolicyTest["request"],
): readonly PolicyRoute[] {
  const path = pathOf(target);
  const depth = Math.max(...routes.map((route) => specificity(route.path, path)));
  const closest = depth < 0 ? [] : routes.filter((route) => specificity(route.path, path) === depth);
  const exactly = closest.filter(
    ({ methods }) => methods !== undefined && compileMethods(methods).has(method),
  );
  if (exactly.length > 0) return exactly;
  const any = closest.filter(({ methods }) => methods === undefined);
  return any.length > 0 ? any : closest;
}

/** The path that a test's request is for; one that is not valid as it is written. */
export function pathOf(target: string): string {
  const [path = ""] = target.split("?", 1);
  try {
    return normalisePath(path);
  } catch (error) {
    if (error instanceof PathError) return path;
    throw error;
  }
}

/** Grows with how much of the path a pattern names; -1 = it does not take it. */
function specificity(pattern: string, path: string): number {
  if (!pattern.endsWith("/*")) return pattern === path ? Infinity : -1;
  const prefix = pattern.slice(0, -2);
  return path === prefix || path.startsWith(`${prefix}/`) ? prefix.length : -1;
}
