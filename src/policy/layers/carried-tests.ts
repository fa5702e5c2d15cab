// Collects the tests that a service's policy has to pass: those of the shared policy for this service, and its layer's
// own.
import { normalisePath, PathError } from "../../language/request-path.ts";
import { compileMethods } from "../../language/methods.ts";
import { pathText, type Problem } from "../document/problems.ts";
import type { PolicyDocument, PolicyRoute } from "../document/schema.ts";
import type { PolicyTest } from "../document/tests-field.ts";
import type { SourceDocument } from "../document/written.ts";
import { isFor } from "./layers.ts";

/** A test with its place in its document. */
export interface CarriedTest {
  readonly test: PolicyTest;
  readonly place: Omit<Problem, "message">;
}

/** @param service undefined = the tests of all services */
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
  // A test of a path that no route takes, or of a route that only layers have, is for every service.
  return meant.length === 0 || meant.some((each) => isFor(each, service));
}

/** @returns the routes of any service that could take the request */
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

/** @returns the normalised path of a test's request; an invalid path as it is written */
export function pathOf(target: string): string {
  const [path = ""] = target.split("?", 1);
  try {
    return normalisePath(path);
  } catch (error) {
    if (error instanceof PathError) return path;
    throw error;
  }
}

/** @returns how specific the pattern is for this path: higher = more specific, -1 = no match */
function specificity(pattern: string, path: string): number {
  if (!pattern.endsWith("/*")) return pattern === path ? Infinity : -1;
  const prefix = pattern.slice(0, -2);
  return path === prefix || path.startsWith(`${prefix}/`) ? prefix.length : -1;
}
