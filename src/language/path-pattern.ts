// Parses and matches path patterns. Every option that means a path has this one grammar: an exact path, or a prefix of
// whole segments that ends in `/*` and also takes the path without the `/*`. Patterns must be in normalised form, or
// they would match nothing.
import { z } from "zod";
import { term } from "./terms.ts";
import { comparablePath, foldCase, pathHazard } from "./path-reading.ts";

/** RFC 3986 section 3.3 pchar; escapes in upper case (section 6.2.2.1). */
const segment = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})+$/;

/** @returns what is wrong with a pattern; undefined when it can be matched as written */
function patternFlaw(pattern: string): string | undefined {
  if (!pattern.startsWith("/")) return "must start with /";
  const base = pattern.endsWith("/*") ? pattern.slice(0, -2) : pattern.replace(/(?<=.)\/$/, "");
  if (pattern === "/" || pattern === "/*") return undefined;
  for (const part of base.slice(1).split("/")) {
    if (part === "") return "must have no empty segment";
    if (/^\.{1,2}(?:;|$)/.test(part)) return "must have no dot segment";
    if (part.includes("*")) return "may have * only as its last segment, /*";
    if (!segment.test(part)) return "must be a path with its escapes in upper case, without query";
    for (const [, hex] of part.matchAll(/%(..)/g)) {
      const character = String.fromCharCode(Number.parseInt(hex as string, 16));
      if (/[A-Za-z0-9\-._~]/.test(character)) return `must be normalised: write ${character} for %${hex}`;
      if (/[/\\\0]/.test(character)) return "must have no encoded slash, backslash or NUL";
    }
  }
  if (comparablePath(base) === "/") return "must not consist of blanks or parameters alone";
  const hazard = pathHazard(base);
  return hazard === undefined ? undefined : `matches no request: ${hazard}`;
}

const text = term(
  "path",
  z
    .string()
    .max(2048)
    .superRefine((value, context) => {
      const message = patternFlaw(value);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    })
    .meta({ pattern: "^/" }),
);

/** Exact path, or whole-segment prefix that ends in `/*`. */
export const pathPattern = text.describe(
  "Exact path, or whole-segment prefix ending in /*, in normalised form",
);

/** Leading segments of a pattern in a neighbouring option: `leadingFlaw` compares the two. */
export const leadingSegments = term("path", z.string());

/** @returns what is wrong, when `leading` is not the first whole segments of the pattern */
export function leadingFlaw(leading: string, pattern: string): string | undefined {
  const base = pattern.endsWith("/*") ? pattern.slice(0, -2) : pattern;
  if (/^\/./.test(leading) && (base === leading || base.startsWith(`${leading}/`))) return undefined;
  return "must be the leading whole segments of path, without / at its end";
}

/**
 * The paths of one request: as the client sent it, without `stripPrefix`, and as the service gets it (after its
 * upstream's base path).
 */
export interface RequestPaths {
  readonly path: string;
  readonly strippedPath: string;
  readonly upstreamPath: string;
}

export interface PathSet {
  /**
   * Whether a service could read one of the request's paths as one of this set. Use it to refuse, count or limit.
   * @param slash see comparablePath
   */
  couldBe(paths: RequestPaths, slash?: "divides" | "kept"): boolean;
  /** Whether a normalised path, exactly as spelled, is one of this set. Use it to let requests pass. */
  spells(path: string): boolean;
}

/** @param foldsCase whether the service treats paths that differ only in case as the same path */
export function compilePaths(patterns: readonly string[], foldsCase: boolean): PathSet {
  const spelled = new Matcher(foldsCase ? patterns.map(foldCase) : patterns);
  const comparable = new Matcher(patterns.map((pattern) => comparablePattern(pattern, foldsCase)));
  const couldTake = (path: string, slash: "divides" | "kept" | undefined): boolean =>
    comparable.takes(comparablePath(path, foldsCase, slash));
  return {
    couldBe({ path, strippedPath, upstreamPath }, slash) {
      return (
        couldTake(path, slash) ||
        (strippedPath !== path && couldTake(strippedPath, slash)) ||
        (upstreamPath !== strippedPath && couldTake(upstreamPath, slash))
      );
    },
    spells: (path) => spelled.takes(foldsCase ? foldCase(path) : path),
  };
}

/** Converts a pattern to the form into which comparablePath converts paths. */
export function comparablePattern(pattern: string, foldsCase: boolean): string {
  if (!pattern.endsWith("/*")) return comparablePath(pattern, foldsCase);
  const base = comparablePath(pattern.slice(0, -2) || "/", foldsCase);
  return base === "/" ? "/*" : `${base}/*`;
}

/** Whether a pattern takes every path that the other takes. Both must be in the same form. */
export function patternTakes(pattern: string, other: string): boolean {
  if (pattern === other) return true;
  return pattern.endsWith("/*") && (other.startsWith(pattern.slice(0, -1)) || other === pattern.slice(0, -2));
}

/** Whether some path matches both patterns. Both must be in the same form. */
export function patternsMeet(one: string, other: string): boolean {
  return patternTakes(one, other) || patternTakes(other, one);
}

class Matcher {
  readonly #exact = new Set<string>();
  readonly #prefixes: string[] = [];
  // `/*` takes every path, including the `*` of `OPTIONS *`.
  readonly #takesAll: boolean;

  constructor(patterns: readonly string[]) {
    this.#takesAll = patterns.includes("/*");
    for (const pattern of patterns) {
      if (!pattern.endsWith("/*")) {
        this.#exact.add(pattern);
        continue;
      }
      this.#exact.add(pattern.slice(0, -2));
      this.#prefixes.push(pattern.slice(0, -1));
    }
  }

  takes(path: string): boolean {
    if (this.#takesAll || this.#exact.has(path)) return true;
    for (const prefix of this.#prefixes) {
      if (path.startsWith(prefix)) return true;
    }
    return false;
  }
}
