// Path patterns with methods, compiled once: exact, or a prefix of whole segments. They see the normalised path only.

export interface PathMatcher {
  (method: string, path: string): boolean;
}

/** @param pattern exact path, or a prefix that ends in `/*`, which takes the path without the slash too */
export function compilePattern(pattern: string, methods?: readonly string[]): PathMatcher {
  const takesMethod = methods === undefined ? undefined : new Set(methods);
  if (pattern === "/*") return (method) => takesMethod?.has(method) ?? true;
  if (!pattern.endsWith("/*")) {
    return (method, path) => path === pattern && (takesMethod?.has(method) ?? true);
  }
  const bare = pattern.slice(0, -2);
  const below = pattern.slice(0, -1);
  return (method, path) => (path.startsWith(below) || path === bare) && (takesMethod?.has(method) ?? true);
}

export type Exclusion =
  | string
  | {
      readonly path: string;
      readonly methods?: readonly string[] | undefined;
      readonly forwardCredentials?: boolean | undefined;
    };

/** Those of the exclusions where the service gets the caller's credential. */
export function forwarding(exclusions: readonly Exclusion[], otherwise: boolean): readonly Exclusion[] {
  return exclusions.filter((exclusion) =>
    typeof exclusion === "string" ? otherwise : (exclusion.forwardCredentials ?? otherwise),
  );
}

/** @returns whether any of the patterns takes a request; undefined when there are none */
export function compileExclusions(exclusions: readonly Exclusion[]): PathMatcher | undefined {
  if (exclusions.length === 0) return undefined;
  const exact = new Set<string>();
  const matchers: PathMatcher[] = [];
  for (const exclusion of exclusions) {
    const { path, methods } =
      typeof exclusion === "string" ? { path: exclusion, methods: undefined } : exclusion;
    if (methods === undefined && !path.endsWith("/*")) exact.add(path);
    else matchers.push(compilePattern(path, methods));
  }
  return (method, path) => exact.has(path) || matchers.some((matches) => matches(method, path));
}
