// Paths that auth leaves alone. An exclusion lets pass, so it holds only for what it spells out, on the path that the
// client sent and on the one that the service gets.
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

/** Those of the exclusions where the service gets the caller's credential. */
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

/** Found before, of the same options: routes share what is made of them. */
const forwardedUnlessSaid = new WeakMap<readonly Exclusion[], readonly Exclusion[]>();
const forwardedIfSaid = new WeakMap<readonly Exclusion[], readonly Exclusion[]>();

interface Part {
  readonly methods: ReadonlySet<string> | undefined;
  readonly paths: PathSet;
  /** Whether it names paths within what the route's `stripPrefix` takes off, not merely all of it. */
  readonly withinStripped: boolean;
}

/** Of thousands of routes most have the same exclusions from the policy's top: what is made of them is made once. */
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
  // Few sets for all of them: a request is held against each.
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

  /** Whether there are none. */
  get none(): boolean {
    return this.#parts.length === 0;
  }

  take(request: ExchangeRequest): boolean {
    const { method, path, strippedPath } = request;
    for (const { methods, paths, withinStripped } of this.#parts) {
      if (methods?.has(method) === false || !paths.spells(path)) continue;
      if (this.#rules.concernBased(request)) return false;
      if (strippedPath === path) return true;
      // Whoever wrote both stripPrefix and the exclusion meant the path below the prefix, if no rule is about it. Where
      // a service's layer strips under a locked auth, the shared policy meant no such thing.
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
