// Answers lint rules which requests a route takes. It compares patterns with patterns, for all services at once.
import { comparablePattern, patternsMeet, patternTakes } from "../../language/path-pattern.ts";
import { foldCase } from "../../language/path-reading.ts";
import { compileMethods, knownMethods } from "../../language/methods.ts";
import type { LintRouteReach } from "../../plugin-api/lint.ts";
import { basePathOf, stripped } from "../../policy/layers/reached.ts";
import type { PolicyRoute } from "../../policy/document/schema.ts";

export class Reach {
  readonly #folds: boolean;
  readonly #ownBase: string;
  readonly #byPath: ReadonlyMap<string, readonly PolicyRoute[]>;

  /** @param routes the routes of all services; each route's `services` says whose it is */
  constructor(routes: readonly PolicyRoute[], ownBase: string) {
    // If any route is case-insensitive, the schema refuses two spellings of one path.
    this.#folds = routes.some(({ caseInsensitive }) => caseInsensitive === true);
    this.#ownBase = ownBase;
    this.#byPath = Map.groupBy(routes, ({ path }) => this.#spelling(path));
  }

  of(route: PolicyRoute): LintRouteReach {
    const { path, stripPrefix } = route;
    const own = this.#spelling(path);
    let forms: readonly string[] | undefined;
    return {
      path,
      stripPrefix,
      takes: (pattern, methods) => {
        const wanted = this.#spelling(pattern);
        const fits =
          patternTakes(wanted, own) ||
          (patternTakes(own, wanted) && !this.#isTakenBefore(route, own, wanted));
        return fits && this.answers(route, methods);
      },
      serves: (pattern, methods) => {
        const wanted = this.#form(pattern);
        forms ??= this.#forms(route);
        return forms.some((form) => patternsMeet(form, wanted)) && this.answers(route, methods);
      },
      isWithin: (pattern, methods) =>
        patternTakes(this.#spelling(pattern), own) &&
        (methods === undefined || isAmong(route.methods, methods)),
    };
  }

  /**
   * Whether the route takes a request with one of the methods (default: any). Routes of the same path that list a
   * method take it first.
   */
  answers(route: PolicyRoute, methods?: readonly string[]): boolean {
    if (route.methods !== undefined) {
      const own = compileMethods(route.methods);
      return methods === undefined || [...compileMethods(methods)].some((method) => own.has(method));
    }
    const listed = this.#siblings(route).flatMap((other) =>
      isForAllOf(other, route) ? (other.methods ?? []) : [],
    );
    const gone = new Set(listed);
    return (methods ?? knownMethods).some((method) => !gone.has(method));
  }

  /** @returns the nearest routes around this one: without it, they would take all of its paths */
  around(route: PolicyRoute): readonly PolicyRoute[] {
    for (const pattern of prefixesOf(this.#spelling(route.path))) {
      const found = (this.#byPath.get(pattern) ?? []).filter((other) => shareService(other, route));
      if (found.length > 0 && pattern !== this.#spelling(route.path)) return found;
    }
    return [];
  }

  /** @returns the routes of the same path that share a service with this one; itself included */
  #siblings(route: PolicyRoute): readonly PolicyRoute[] {
    const same = this.#byPath.get(this.#spelling(route.path)) ?? [];
    return same.filter((other) => shareService(other, route));
  }

  /** @returns the methods that any route of this path answers; undefined = every method */
  methodsAt(route: PolicyRoute): ReadonlySet<string> | undefined {
    const siblings = this.#siblings(route);
    if (siblings.some(({ methods }) => methods === undefined)) return undefined;
    return compileMethods(siblings.flatMap(({ methods = [] }) => methods));
  }

  /** @returns the path pattern that the service gets, in comparable form */
  wire(route: PolicyRoute): string {
    const base = route.upstream === undefined ? this.#ownBase : basePathOf(route.upstream);
    return this.#form(`${base}${stripped(route)}`);
  }

  #isTakenBefore(route: PolicyRoute, own: string, wanted: string): boolean {
    const nearer = [...(wanted.endsWith("/*") ? [] : [wanted]), ...prefixesOf(wanted)];
    for (const pattern of nearer) {
      if (pattern === own) return false;
      if (this.#byPath.get(pattern)?.some((other) => isForAllOf(other, route)) === true) return true;
    }
    return false;
  }

  #forms(route: PolicyRoute): readonly string[] {
    return [this.#form(route.path), this.#form(stripped(route)), this.wire(route)];
  }

  #spelling(pattern: string): string {
    return this.#folds ? foldCase(pattern) : pattern;
  }

  #form(pattern: string): string {
    return comparablePattern(pattern, this.#folds);
  }
}

/** Yields the prefix patterns that match all of a pattern, nearest first; the pattern itself if it is one. */
function* prefixesOf(pattern: string): Generator<string> {
  for (let base = pattern.replace(/\/\*?$/, ""); ; base = base.slice(0, base.lastIndexOf("/"))) {
    yield `${base}/*`;
    if (base === "") return;
  }
}

function isAmong(own: readonly string[] | undefined, methods: readonly string[]): boolean {
  const wide = compileMethods(methods);
  return own !== undefined && [...compileMethods(own)].every((method) => wide.has(method));
}

/** Whether every service that has `route` also has `other`. */
function isForAllOf(other: PolicyRoute, route: PolicyRoute): boolean {
  if (other === route) return false;
  const { services } = other;
  return services === undefined || route.services?.every((name) => services.includes(name)) === true;
}

export function shareService(one: PolicyRoute, other: PolicyRoute): boolean {
  return (
    one.services === undefined ||
    other.services === undefined ||
    one.services.some((name) => other.services?.includes(name) === true)
  );
}
