// Applies the locks of the shared policy to a layer. Locked plugins run, with the shared policy's options, wherever the
// shared policy runs them and on everything that the layer newly opens.
import { isDeepStrictEqual } from "node:util";
import { compileMethods } from "../../language/methods.ts";
import { withAlternatives } from "../extensions/alternatives.ts";
import { coveringRoutes, groupByPath } from "./covering.ts";
import { type Path, quoted } from "../document/problems.ts";
import { ReachOfRoutes } from "./reached.ts";
import {
  type PluginConfig,
  type PolicyDocument,
  type PolicyRoute,
  defaultPlugins,
} from "../document/schema.ts";

/** Parts of a layer that break a lock. */
export type Broken = { path: Path; message: string }[];
/** A route's methods, grouped by the shared route that would answer them without it; undefined = no route would. */
type Shadowed = ReadonlyMap<PolicyRoute | undefined, readonly string[]>;

/** The locked plugins and the routes that they guard. */
export class Lock {
  /** With the alternatives of locked extensions: each caller gets one of the two. */
  readonly #locked: readonly string[];
  readonly #shared: PolicyDocument;
  readonly #defaults: readonly string[];
  readonly #sharedByPath: ReadonlyMap<string, readonly PolicyRoute[]>;
  readonly #routesByPath: ReadonlyMap<string, readonly PolicyRoute[]>;
  /** undefined = nothing is locked. */
  readonly #reach: ReachOfRoutes | undefined;

  /** @param all the routes that would be in force: the kept ones of `below`, and the layer's */
  constructor(
    shared: PolicyDocument,
    below: readonly PolicyRoute[],
    all: readonly PolicyRoute[],
    ownBase: string,
  ) {
    this.#shared = shared;
    this.#locked = this.#withAlternatives(shared.locked ?? []);
    this.#defaults = shared.plugins ?? defaultPlugins;
    this.#sharedByPath = groupByPath(below);
    this.#routesByPath = groupByPath(all);
    if (this.#locked.length === 0) return;
    const guards = (route: PolicyRoute): boolean => this.#locked.some((name) => this.#guards(route, name));
    this.#reach = new ReachOfRoutes({ ...shared, locked: this.#locked }, below, guards, ownBase);
  }

  /** @returns the layer's defaults after the locks are applied, and the parts that break a lock */
  holdAtTop(layer: PolicyDocument | undefined): {
    plugins: readonly string[];
    pluginConfig: PluginConfig;
    broken: Broken;
  } {
    const broken = this.#reconfigured(layer?.pluginConfig, []);
    const plugins = [...(layer?.plugins ?? this.#defaults)];
    for (const name of this.#locked) {
      if (!this.#withAlternatives(this.#defaults).includes(name)) continue;
      if (this.#withAlternatives(plugins).includes(name)) continue;
      broken.push({ path: ["plugins"], message: `drops ${quoted(name)}, which the shared policy locks` });
      plugins.push(name);
    }
    if (
      layer?.locked !== undefined &&
      !isDeepStrictEqual(new Set(layer.locked), new Set(this.#shared.locked))
    ) {
      broken.push({ path: ["locked"], message: "only the shared policy locks plugins" });
    }
    return { plugins, pluginConfig: this.#unlocked(layer?.pluginConfig), broken };
  }

  /**
   * Applies the locks to one route of the layer: it gets the locked plugins that it must run, with the options of the
   * shared route that it covers or shadows.
   * @param plugins the plugins that the route would run
   * @returns the route, split by method where the options differ by method; empty if the route may not exist
   */
  holdOn(route: PolicyRoute, plugins: readonly string[], path: Path, broken: Broken): PolicyRoute[] {
    broken.push(...this.#reconfigured(route.pluginConfig, path));
    const shadowed = this.#shadowed(route);
    // No other route guards the requests that the service gets by this one.
    const { routes: reached = [], flaw } = this.#reach?.by(route) ?? {};
    if (flaw !== undefined) {
      broken.push({ path: [...path, flaw.field], message: flaw.message });
      return [];
    }
    const running = [...plugins];
    let byMethod = false;
    for (const name of this.#locked) {
      const guarded = [...shadowed.keys()].filter((other) => this.#guards(other, name));
      const behind = reached.filter((other) => this.#guards(other, name));
      if (!this.#withAlternatives(running).includes(name)) {
        if (guarded.length + behind.length === 0 && !shadowed.has(undefined) && !reached.includes(undefined))
          continue;
        const message = `must run ${quoted(name)}, which the shared policy locks`;
        broken.push({ path: [...path, "plugins"], message });
        running.push(name);
      }
      const [first, ...others] = (guarded.length > 0 ? guarded : behind).map(
        (other) => other?.pluginConfig?.[name],
      );
      if (behind.some((other) => !isDeepStrictEqual(other?.pluginConfig?.[name], first))) {
        const message = `reaches paths for which the shared policy configures ${quoted(name)} otherwise, and locks it`;
        broken.push({ path: [...path, route.stripPrefix === undefined ? "path" : "stripPrefix"], message });
        return [];
      }
      if (others.every((other) => isDeepStrictEqual(other, first))) continue;
      const message = `${quoted(name)} is locked and configured by method here: write one route for each`;
      broken.push({ path: [...path, "methods"], message });
      byMethod = true;
    }
    const withPlugins = running.length === plugins.length ? route : { ...route, plugins: running };
    const held = this.#holdCase(withPlugins, [...shadowed.keys()], path, broken);
    if (!byMethod) return [this.#inherit(held, [...shadowed.keys(), ...reached])];
    return splitByMethod(held, shadowed).map(({ part, covered }) => this.#inherit(part, [covered]));
  }

  /**
   * @returns the route with the locked plugins' options of the shared routes that it covers, and with no such options
   * of its own
   */
  #inherit(route: PolicyRoute, covered: readonly (PolicyRoute | undefined)[]): PolicyRoute {
    const config: Record<string, Readonly<Record<string, unknown>>> = this.#unlocked(route.pluginConfig);
    for (const name of this.#locked) {
      const options = covered.find((other) => this.#guards(other, name))?.pluginConfig?.[name];
      if (options !== undefined) config[name] = options;
    }
    return withConfig(route, config);
  }

  /**
   * Case sensitivity is a matter of security. Without it, requests could get past the locked plugins' rules. With it,
   * the plugins' exclusions would match more paths, and the route would take paths that other routes guard.
   */
  #holdCase(
    route: PolicyRoute,
    covered: readonly (PolicyRoute | undefined)[],
    path: Path,
    broken: Broken,
  ): PolicyRoute {
    if (this.#locked.length === 0) return route;
    const folds = covered.some((other) => other?.caseInsensitive === true);
    if (folds === (route.caseInsensitive ?? false)) return route;
    if (folds) return { ...route, caseInsensitive: true };
    const message = "is for the shared policy to say, which locks plugins";
    broken.push({ path: [...path, "caseInsensitive"], message });
    const { caseInsensitive: _, ...rest } = route;
    return rest;
  }

  #guards(route: PolicyRoute | undefined, name: string): boolean {
    return route !== undefined && this.#withAlternatives(route.plugins ?? this.#defaults).includes(name);
  }

  #withAlternatives(names: readonly string[]): readonly string[] {
    return withAlternatives(names, this.#shared.extensions);
  }

  #unlocked(config: PluginConfig | undefined): Record<string, Readonly<Record<string, unknown>>> {
    return Object.fromEntries(Object.entries(config ?? {}).filter(([name]) => !this.#locked.includes(name)));
  }

  #reconfigured(config: PluginConfig | undefined, path: Path): Broken {
    return this.#locked
      .filter((name) => config !== undefined && Object.hasOwn(config, name))
      .map((name) => ({
        path: [...path, "pluginConfig", name],
        message: `configures ${quoted(name)}, which the shared policy locks`,
      }));
  }

  #shadowed(route: PolicyRoute): Shadowed {
    const siblings = this.#routesByPath.get(route.path) ?? [];
    const covering = coveringRoutes(this.#sharedByPath, route.path);
    const listed = [...siblings, ...covering].flatMap(({ methods }) => methods ?? []);
    const answered = [...new Set([...listed, "HEAD", anyOther])].filter(
      (method) => servedBy(siblings, method) === route,
    );
    return Map.groupBy(answered, (method) => servedBy(covering, method));
  }
}

/** Stands for every method that no route of the path lists. */
const anyOther = "*";

function withConfig(route: PolicyRoute, config: PluginConfig): PolicyRoute {
  const { pluginConfig, ...rest } = route;
  if (isDeepStrictEqual(config, pluginConfig ?? {})) return route;
  return Object.keys(config).length === 0 ? rest : { ...rest, pluginConfig: config };
}

interface Part {
  readonly part: PolicyRoute;
  /** The shared route that it covers. */
  readonly covered: PolicyRoute | undefined;
}

/** @returns one route for each shared route that this one covers, with the methods that it covers there */
function splitByMethod(route: PolicyRoute, shadowed: Shadowed): Part[] {
  const { methods: _, ...rest } = route;
  const parts: Part[] = [];
  for (const [covered, methods] of shadowed) {
    if (!methods.includes(anyOther)) {
      parts.push({ part: { ...rest, methods }, covered });
      continue;
    }
    parts.push({ part: rest, covered });
    // A HEAD that is not listed would follow GET, which may be in another part.
    if (methods.includes("HEAD")) parts.push({ part: { ...rest, methods: ["HEAD"] }, covered });
  }
  return parts;
}

/**
 * @returns the route of one path that the router picks for a method; a route that names it wins over one that takes it
 * by GET
 */
function servedBy(routes: readonly PolicyRoute[], method: string): PolicyRoute | undefined {
  return (
    routes.find(({ methods }) => methods?.includes(method)) ??
    routes.find(({ methods }) => methods !== undefined && compileMethods(methods).has(method)) ??
    routes.find(({ methods }) => methods === undefined)
  );
}
