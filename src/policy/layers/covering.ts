// Finds the routes of the shared policy that a layer's route replaces, by its path or by other spellings of that path.
import { comparablePattern } from "../../language/path-pattern.ts";
import type { PolicyDocument, PolicyRoute } from "../document/schema.ts";

type ByPath = ReadonlyMap<string, readonly PolicyRoute[]>;

export function groupByPath(routes: readonly PolicyRoute[]): Map<string, PolicyRoute[]> {
  return Map.groupBy(routes, ({ path }) => path);
}

/** @returns the routes of the most specific path that takes every request for this path */
export function coveringRoutes(byPath: ByPath, path: string): readonly PolicyRoute[] {
  const exact = byPath.get(path);
  if (exact !== undefined) return exact;
  for (let base = path.replace(/\/\*?$/, ""); ; base = base.slice(0, base.lastIndexOf("/"))) {
    const prefix = byPath.get(`${base}/*`);
    if (prefix !== undefined) return prefix;
    if (base === "") return [];
  }
}

/**
 * Finds routes of a layer at spellings (`/admin;a=1/*`, `/admin%20`) that services may take for a path which the shared
 * policy routes otherwise. With such a route a layer would get around a lock.
 */
export class Lookalikes {
  readonly #foldsCase: boolean;
  readonly #spelled: ByPath;
  /** Shared routes by the form that all readings of a path have in common; undefined = nothing is locked. */
  readonly #forms: ByPath | undefined;

  constructor(shared: PolicyDocument, below: readonly PolicyRoute[]) {
    this.#foldsCase = below.some(({ caseInsensitive }) => caseInsensitive === true);
    this.#spelled = groupByPath(below);
    if ((shared.locked ?? []).length === 0) return;
    this.#forms = Map.groupBy(below, ({ path }) => comparablePattern(path, this.#foldsCase));
  }

  include({ path }: PolicyRoute): boolean {
    if (this.#forms === undefined) return false;
    const byForm = coveringRoutes(this.#forms, comparablePattern(path, this.#foldsCase));
    if (byForm.length === 0) return false;
    const spelled = coveringRoutes(this.#spelled, path);
    return !spelled.some((route) => byForm.includes(route));
  }
}
