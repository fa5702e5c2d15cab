// Finds the route of a path and method. It is compiled once per snapshot. A match takes at most one map look-up per
// path segment, however many routes there are.
import { compileMethods } from "../language/methods.ts";

/** A route's key: `path` is exact, or a prefix of whole segments if it ends in `/*`. */
export interface Routable {
  readonly path: string;
  /** undefined = every method. */
  readonly methods: readonly string[] | undefined;
}

export type Match<T, Key extends Routable = Routable> =
  | { readonly kind: "found"; readonly route: T; readonly key: Key }
  | { readonly kind: "wrong-method"; readonly allow: readonly string[]; readonly routes: readonly T[] }
  | { readonly kind: "none" };

interface Entry<T, Key extends Routable> {
  /** By method; undefined = every route takes all methods. */
  found: Map<string, Match<T, Key>> | undefined;
  any: Match<T, Key> | undefined;
  wrongMethod: Match<T, Key>;
}

const none = { kind: "none" } as const;

export class Router<T, Key extends Routable = Routable> {
  readonly #exact = new Map<string, Entry<T, Key>>();
  // Keyed by the prefix without its `/*`: `/api/users`, and "" for `/*`.
  readonly #prefixes = new Map<string, Entry<T, Key>>();
  // The deepest prefix in segments: it bounds the look-ups for a path of ten thousand slashes.
  #depth = 0;

  constructor(routes: Iterable<readonly [T, Key]> = []) {
    for (const [route, key] of routes) this.add(route, key);
  }

  /** @param path normalised; the most specific route wins: exact before prefix, longer before shorter. */
  match(path: string, method: string): Match<T, Key> {
    const entry = this.#exact.get(path) ?? this.#maxPrefix(path);
    if (entry === undefined) return none;
    return entry.found?.get(method) ?? entry.any ?? entry.wrongMethod;
  }

  #maxPrefix(path: string): Entry<T, Key> | undefined {
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

  /** @param path replaces the key's own path */
  add(route: T, key: Key, path = key.path): void {
    const { methods } = key;
    const isPrefix = path.endsWith("/*");
    const place = isPrefix ? path.slice(0, -2) : path;
    const table = isPrefix ? this.#prefixes : this.#exact;
    if (isPrefix) this.#depth = Math.max(this.#depth, place.split("/").length - 1);
    let entry = table.get(place);
    if (entry === undefined) {
      entry = { found: undefined, any: undefined, wrongMethod: none };
      table.set(place, entry);
    }
    const match: Match<T, Key> = { kind: "found", route, key };
    if (methods === undefined) entry.any = match;
    else takeMethods(entry, methods, match);
  }
}

function takeMethods<T, Key extends Routable>(
  entry: Entry<T, Key>,
  methods: readonly string[],
  match: Extract<Match<T, Key>, { kind: "found" }>,
): void {
  const found = (entry.found ??= new Map<string, Match<T, Key>>());
  // If one route takes HEAD only through its GET, a route that names HEAD wins.
  for (const method of methods) found.set(method, match);
  for (const method of compileMethods(methods)) {
    if (!found.has(method)) found.set(method, match);
  }
  const routes = entry.wrongMethod.kind === "wrong-method" ? entry.wrongMethod.routes : [];
  const allow = [...found.keys()].toSorted();
  entry.wrongMethod = { kind: "wrong-method", allow, routes: [...routes, match.route] };
}
