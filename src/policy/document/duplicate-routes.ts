// Refuses routes of a document that would take the same requests.
import type { z } from "zod";
import { foldCase } from "../../language/path-reading.ts";

/** The fields of a route that decide which requests it takes. */
interface DuplicableRoute {
  readonly path: string;
  readonly methods: unknown;
  readonly services: unknown;
  readonly caseInsensitive: unknown;
}

/**
 * Reports each route that has the same path and method as another for the same service: a request must have one route.
 */
export function refuseDuplicates(routes: unknown, context: z.core.$RefinementCtx): void {
  // For each path and method: the route of each service ("*" = every service).
  const taken = new Map<string, Map<string, number>>();
  if (!Array.isArray(routes)) return;
  // Beside a case-insensitive route, two spellings of one path could not be told apart.
  const folds = routes.some((route) => (Object(route) as Partial<DuplicableRoute>).caseInsensitive === true);
  for (const [index, entry] of routes.entries()) {
    const { path, methods, services }: Partial<DuplicableRoute> = Object(entry) as object;
    for (const method of Array.isArray(methods) ? (methods as unknown[]) : ["*"]) {
      const key = `${String(method)} ${folds && typeof path === "string" ? foldCase(path) : path}`;
      const byService = taken.get(key) ?? new Map<string, number>();
      taken.set(key, byService);
      const names = Array.isArray(services) ? (services as string[]) : ["*"];
      const twin = names.includes("*")
        ? byService.values().next().value
        : (byService.get("*") ?? names.map((name) => byService.get(name)).find((at) => at !== undefined));
      for (const name of names) byService.set(name, index);
      if (twin === undefined || twin === index) continue;
      context.addIssue({
        code: "custom",
        path: [index, "path"],
        message: `same path and method as routes[${twin}]`,
      });
      break;
    }
  }
}
