// Finds the route of a path and method. Compiled once per snapshot; a look-up is a few map look-ups, one per path
// segment at most, however many routes there are.
import { compileMethods } from "../language/methods.ts";

/** A route's key: `path` is exact, or a whole-segment prefix when it ends in `/*`. */
export interface Routable {
  readonly path: string;
  /** undefined = every method. */
  readonly methods: readonly string[] | undefined;
}

export type Match<T> =
  | { readonly kind: "found"; readonly route: T }
  | { readonly kind: "wrong-method"; readonly allow: readonly string[]; readonly routes: readonly T[] }
  | { readonly kind: "none" };

interface Entry<T> {
  readonly found: Map<string, Match<T>>;
  any: Match<T> | undefined;
  wrongMethod: Match<T>;
}

const none = { kind: "none" } as const;

export class Router<T> {
  readonly #exact = new Map<string, Entry<T>>();
  // Keyed by the prefix without its `/*`: `/api/users`, and "" for `/*`.
  readonly #prefixes = new Map<string, Entry<T>>();
  // Deepest prefix in segments: a path of ten thousand slashes costs no more look-ups than that.
  #depth = 0;

  constructor(routes: Iterable<readonly [T, Routable]> = []) {
    for (const [route, routable] of routes) this.add(route, routable);
  }

  /** @param path normalised; the most specific route wins: exact before prefix, longer before shorter. */
  match(path: string, method: string): Match<T> {
    const entry = this.#exact.get(path) ?? this.#maxPrefix(path);
    if (entry === undefined) return none;
    return entry.found.get(method) ?? entry.any ?? entry.wrongMethod;
  }

  #maxPrefix(path: string): Entry<T> | undefined {
    // Ends of the path's first segments, as deep as any prefix goes.
    const ends: number[] = [];
    let end = path.length > 1 ? path.indexOf("/", 1) : -1;
    while (end !== -1 && ends.length < this.#depth) {
      ends.push(end);
      end = path.indexOf("/", end + 1);
    }
    if (end === -1 && ends.length < this.#depth) {
      const whole = this.#prefixes.get(path);
      if (whole !== undefined) return whole;
    }
    for (let i = ends.length - 1; i >= 0; i -= 1) {
      const entry = this.#prefixes.get(path.slice(0, ends[i]));
      if (entry !== undefined) return entry;
    }
    return path.startsWith("/") ? this.#prefixes.get("") : undefined;
  }

  add(route: T, { path, methods }: Routable): void {
    const isPrefix = path.endsWith("/*");
    const key = isPrefix ? path.slice(0, -2) : path;
    const table = isPrefix ? this.#prefixes : this.#exact;
    if (isPrefix) this.#depth = Math.max(this.#depth, key.split("/").length - 1);
    let entry = table.get(key);
    if (entry === undefined) {
      entry = { found: new Map(), any: undefined, wrongMethod: none };
      table.set(key, entry);
    }
    const match: Match<T> = { kind: "found", route };
    if (methods === undefined) entry.any = match;
    // A HEAD that a route has only by its GET gives way to one that is named.
    for (const method of methods ?? []) entry.found.set(method, match);
    for (const method of compileMethods(methods ?? [])) {
      if (!entry.found.has(method)) entry.found.set(method, match);
    }
    const routes = entry.wrongMethod.kind === "wrong-method" ? entry.wrongMethod.routes : [];
    const allow = [...entry.found.keys()].toSorted();
    entry.wrongMethod = { kind: "wrong-method", allow, routes: [...routes, route] };
  }
}
