// Decides which paths auth lets pass without a check. An exclusion matches exactly what it spells out and nothing else,
// both on the path that the client sent and on the one that the service gets.
import { compileMethods } from "../../../src/language/methods.ts";
import { compilePaths, type PathSet } from "../../../src/language/path-pattern.ts";
import type { ExchangeRequest, RouteInfo } from "../../../src/plugin-api/contract.ts";
import type { Rules } from "./rules.ts";

export type Exclusion =
  | string
  | {
      readonly path: string;
      readonly methods?: readonly string[] | undefined;
      readonly forwardCredentials?: boolean | undefined;
    };

/** @returns the exclusions for which the service gets the caller's credential */
export function forwarding(exclusions: readonly Exclusion[], otherwise: boolean): readonly Exclusion[] {
  const known = otherwise ? forwardedUnlessSaid : forwardedIfSaid;
  let forwarded = known.get(exclusions);
  if (forwarded === undefined) {
    forwarded = exclusions.filter((exclusion) =>
      typeof exclusion === "string" ? otherwise : (exclusion.forwardCredentials ?? otherwise),
    );
    known.set(exclusions, forwarded);
  }
  return forwarded;
}

/** Earlier results for the same options. Returning the same list lets routes share what is compiled from it. */
const forwardedUnlessSaid = new WeakMap<readonly Exclusion[], readonly Exclusion[]>();
const forwardedIfSaid = new WeakMap<readonly Exclusion[], readonly Exclusion[]>();

interface Part {
  readonly methods: ReadonlySet<string> | undefined;
  readonly paths: PathSet;
  /** Whether it names particular paths under the route's `stripPrefix`, and not just everything under it. */
  readonly withinStripped: boolean;
}

/** Most of thousands of routes have the same exclusions, from the top of the policy. Those are compiled once. */
const made = new WeakMap<readonly Exclusion[], Map<string, readonly Part[]>>();

function partsOf(exclusions: readonly Exclusion[], route: RouteInfo): readonly Part[] {
  const { caseInsensitive, stripPrefix } = route;
  const within = exclusions.map((each) => isWithin(typeof each === "string" ? each : each.path, stripPrefix));
  const key = `${caseInsensitive} ${within.map(Number).join("")}`;
  const known = made.get(exclusions) ?? new Map<string, readonly Part[]>();
  made.set(exclusions, known);
  let parts = known.get(key);
  if (parts === undefined) known.set(key, (parts = compile(exclusions, within, caseInsensitive)));
  return parts;
}

function compile(exclusions: readonly Exclusion[], within: readonly boolean[], fold: boolean): Part[] {
  const parts = exclusions.map((each, index) => ({
    ...(typeof each === "string" ? { path: each, methods: undefined } : each),
    withinStripped: within[index] === true,
  }));
  // Few path sets for all exclusions, as every request is tested against each set.
  const groups = Map.groupBy(parts, ({ methods, withinStripped }) => {
    return `${withinStripped} ${methods?.join() ?? ""}`;
  });
  return [...groups.values()].map((group) => {
    const [{ methods, withinStripped }] = group as [(typeof parts)[number]];
    const paths = group.map(({ path }) => path);
    return { methods: methods && compileMethods(methods), paths: compilePaths(paths, fold), withinStripped };
  });
}

export class Exclusions {
  readonly #parts: readonly Part[];
  readonly #rules: Rules;
  readonly #overLock: boolean;

  constructor(exclusions: readonly Exclusion[], route: RouteInfo, rules: Rules) {
    this.#rules = rules;
    this.#overLock = route.strippedOver.includes("auth");
    this.#parts = partsOf(exclusions, route);
  }

  /** Whether there are no exclusions. */
  get none(): boolean {
    return this.#parts.length === 0;
  }

  take(request: ExchangeRequest): boolean {
    const { method, path, strippedPath } = request;
    for (const { methods, paths, withinStripped } of this.#parts) {
      if (methods?.has(method) === false || !paths.spells(path)) continue;
      if (this.#rules.concernBased(request)) return false;
      if (strippedPath === path) return true;
      // Whoever wrote both stripPrefix and the exclusion meant the path below the prefix, unless a rule concerns that
      // path. If a service's layer strips under a locked auth, the shared policy did not mean that.
      if (withinStripped && !this.#overLock && !this.#rules.concern(method, strippedPath)) return true;
      if (
        this.#parts.some((other) => other.methods?.has(method) !== false && other.paths.spells(strippedPath))
      ) {
        return true;
      }
    }
    return false;
  }
}

function isWithin(pattern: string, stripPrefix: string | undefined): boolean {
  if (stripPrefix === undefined) return false;
  const base = pattern.endsWith("/*") ? pattern.slice(0, -2) : pattern;
  return base.length > stripPrefix.length || base === pattern;
}
