// Finds what a layer's route lets the service receive, where the shared policy locks plugins: those must run as if the
// shared policy had routed these requests. A route whose reach cannot be decided under every reading of the paths is
// refused.
import { FormatError, parseUpstream } from "../../config/formats.ts";
import { comparablePattern, patternsMeet } from "../../language/path-pattern.ts";
import { coveringRoutes, groupByPath } from "./covering.ts";
import type { PluginConfig, PolicyDocument, PolicyRoute } from "../document/schema.ts";

export interface Reach {
  /** The shared routes that guard what the service gets; undefined among them = some of it belongs to no route. */
  readonly routes: readonly (PolicyRoute | undefined)[];
  /** Why the route may not exist, and the field at fault. */
  readonly flaw?: { readonly field: "path" | "stripPrefix"; readonly message: string };
}

/** A shared route by which the service gets other paths than clients send. */
interface Rewriting {
  readonly route: PolicyRoute;
  /** The path pattern that the service gets. */
  readonly wire: string;
  /**
   * Whether options of locked plugins name this route's paths as clients send them. They cannot recognise the paths
   * that the service gets.
   */
  readonly named: boolean;
}

const nowhere: Reach = { routes: [] };

export class ReachOfRoutes {
  readonly #ownBase: string;
  readonly #foldsCase: boolean;
  readonly #byPath: ReadonlyMap<string, readonly PolicyRoute[]>;
  /** Shared routes by the form that all readings of a path have in common. */
  readonly #byForm: ReadonlyMap<string, readonly PolicyRoute[]>;
  readonly #rewriting: readonly Rewriting[];

  /**
   * @param guards whether a shared route runs a locked plugin
   * @param ownBase base path of the service's own upstream
   */
  constructor(
    shared: PolicyDocument,
    below: readonly PolicyRoute[],
    guards: (route: PolicyRoute) => boolean,
    ownBase: string,
  ) {
    this.#ownBase = ownBase;
    this.#foldsCase = below.some(({ caseInsensitive }) => caseInsensitive === true);
    this.#byPath = groupByPath(below);
    this.#byForm = Map.groupBy(below, ({ path }) => this.#form(path));
    this.#rewriting = below
      .filter((route) => !this.#keepsPath(route) && guards(route))
      .map((route) => ({
        route,
        wire: this.#form(`${this.#baseOf(route)}${stripped(route)}`),
        named: this.#namesPaths(shared, route),
      }));
  }

  /** @param route a layer's route, whose `upstream` is confined already */
  by(route: PolicyRoute): Reach {
    const covering = coveringRoutes(this.#byPath, route.path);
    const strips = covering.some(({ stripPrefix }) => stripPrefix !== route.stripPrefix);
    const leaves = route.upstream === undefined && covering.some(({ upstream }) => upstream !== undefined);
    if (covering.length > 0 && !strips && !leaves) return nowhere;
    if (strips && route.upstream !== undefined && covering.some(({ upstream }) => upstream !== undefined)) {
      const message = "must be as the shared policy has it, which names the upstream here and locks plugins";
      return { routes: [], flaw: { field: "stripPrefix", message } };
    }
    const target = this.#form(stripped(route));
    const above = coveringRoutes(this.#byForm, target);
    const given = above.length > 0 && above.every((other) => this.#keepsPath(other));
    const behind = given ? [] : this.#rewritingTo(this.#form(`${this.#ownBase}${stripped(route)}`));
    const routes = [...this.#routedAs(route, target, above), ...behind.map((each) => each.route)];
    const field = route.stripPrefix === undefined ? "path" : "stripPrefix";
    if (behind.some(({ named }) => named)) {
      const message = "reaches what locked plugins of the shared policy know by another path";
      return { routes, flaw: { field, message } };
    }
    const folds = covering.some(({ caseInsensitive }) => caseInsensitive === true);
    if (routes.some((other) => other !== undefined && (other.caseInsensitive === true) !== folds)) {
      const message = "reaches paths whose case the shared policy, which locks plugins, takes otherwise";
      return { routes, flaw: { field, message } };
    }
    return { routes };
  }

  /** @returns the shared routes for the paths that the service gets, as if clients had sent those */
  #routedAs(
    { path, stripPrefix }: PolicyRoute,
    target: string,
    above: readonly PolicyRoute[],
  ): (PolicyRoute | undefined)[] {
    // The route's own path needs no check here: shared routes within it are more specific, and keep their requests.
    if (stripPrefix === undefined && target === this.#form(path)) return [];
    const least: readonly (PolicyRoute | undefined)[] = above.length === 0 ? [undefined] : above;
    if (!target.endsWith("/*")) return [...least];
    const within = [...this.#byForm].filter(
      ([form]) => form !== target && form.startsWith(target.slice(0, -1)),
    );
    return [...least, ...within.flatMap(([, routes]) => routes)];
  }

  #rewritingTo(wire: string): Rewriting[] {
    // Upstreams are ignored: one service may listen at several addresses.
    return this.#rewriting.filter((each) => patternsMeet(each.wire, wire));
  }

  #keepsPath(route: PolicyRoute): boolean {
    return route.stripPrefix === undefined && this.#baseOf(route) === this.#ownBase;
  }

  #baseOf({ upstream }: PolicyRoute): string {
    return upstream === undefined ? this.#ownBase : basePathOf(upstream);
  }

  #namesPaths({ locked = [], pluginConfig }: PolicyDocument, route: PolicyRoute): boolean {
    const sent = this.#form(route.path);
    const configs = [pluginConfig, route.pluginConfig].filter((config) => config !== undefined);
    const texts = configs.flatMap((config: PluginConfig) => locked.flatMap((name) => textsIn(config[name])));
    return texts.some(
      (text) => text.startsWith("/") && text !== "/*" && patternsMeet(this.#form(text), sent),
    );
  }

  #form(path: string): string {
    return comparablePattern(path, this.#foldsCase);
  }
}

/** @returns the pattern that is left of a route's path, without any base path */
export function stripped({ path, stripPrefix = "" }: PolicyRoute): string {
  return path.slice(stripPrefix.length) || "/";
}

/** @returns the base path; "" for an address that is not well-formed, which is refused elsewhere */
export function basePathOf(upstream: string): string {
  try {
    return parseUpstream(upstream).basePath ?? "";
  } catch (error) {
    if (error instanceof FormatError) return "";
    throw error;
  }
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
