// A service's layer over the shared policy. Pure: documents in, effective document and broken locks out.
//
// Top level: the layer's default plugins and options go over the shared ones. Routes: the layer's own are added; on
// the same path and method the layer's takes the place of the shared one. A locked plugin keeps running, configured as
// the shared policy has it, on everything that the shared policy had it on, and runs on whatever the layer newly opens.
import { isDeepStrictEqual } from "node:util";
import { type Path, quoted } from "./problems.ts";
import { type PluginConfig, type PolicyDocument, type PolicyRoute, defaultPlugins } from "./schema.ts";

/** What is in force: a document itself, with nothing left to default at its top and every route for this service. */
export interface EffectiveDocument extends PolicyDocument {
  readonly plugins: readonly string[];
  readonly pluginConfig: PluginConfig;
  readonly locked: readonly string[];
  readonly routes: readonly Omit<PolicyRoute, "services">[];
}

/** The document, and index there, that a route of the effective one was written in; no index = nobody wrote it. */
export interface Origin {
  readonly from: "shared" | "layer";
  readonly index: number | undefined;
}

export interface Layered {
  readonly effective: EffectiveDocument;
  /** Parallel to `effective.routes`. */
  readonly origins: readonly Origin[];
  /** Locks that the layer breaks, by paths of the layer. With any of these `effective` must not be used. */
  readonly broken: readonly { readonly path: Path; readonly message: string }[];
}

interface Placed {
  readonly route: PolicyRoute;
  readonly origin: Origin;
}

/** @param service whose routes count; undefined = all of them */
export function applyLayer(
  shared: PolicyDocument,
  layer: PolicyDocument | undefined,
  service: string | undefined,
): Layered {
  const locked = shared.locked ?? [];
  const below = placedRoutes(shared, "shared", service);
  if (shared.routes === undefined) {
    below.push({ route: { path: "/*" }, origin: { from: "shared", index: undefined } });
  }
  const above = layer === undefined ? [] : placedRoutes(layer, "layer", service);
  const kept = withoutOverridden(below, above);
  const lock = new Lock(shared, below, [...kept, ...above]);
  const broken = layer === undefined ? [] : lock.brokenAtTop(layer);
  const plugins = layer?.plugins ?? shared.plugins ?? defaultPlugins;
  const own = above.map(({ route, origin }) => {
    const inherited = lock.holdOn(
      route,
      route.plugins ?? plugins,
      ["routes", origin.index as number],
      broken,
    );
    return { route: withConfig(route, inherited), origin };
  });
  const routes = [...kept, ...own];
  return {
    effective: {
      apiVersion: "outrigger/v1",
      plugins,
      pluginConfig: merge(shared.pluginConfig ?? {}, layer?.pluginConfig ?? {}) as PluginConfig,
      locked,
      routes: routes.map(({ route }) => withoutServices(route)),
    },
    origins: routes.map(({ origin }) => origin),
    broken,
  };
}

function withoutServices(route: PolicyRoute): Omit<PolicyRoute, "services"> {
  const { services, ...rest } = route;
  return services === undefined ? route : rest;
}

function placedRoutes(document: PolicyDocument, from: Origin["from"], service: string | undefined): Placed[] {
  return (document.routes ?? [])
    .map((route, index) => ({ route, origin: { from, index } }))
    .filter(({ route }) => isFor(route, service));
}

/** Whether a route is for this service; undefined = any. */
export function isFor(route: PolicyRoute, service: string | undefined): boolean {
  return service === undefined || route.services === undefined || route.services.includes(service);
}

/** Objects deep; arrays and scalars of `over` take the place of those of `base`. Shares what it need not change. */
export function merge(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over;
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    merged.set(key, merged.has(key) ? merge(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The shared routes, less the methods that the layer's routes take over. */
function withoutOverridden(below: readonly Placed[], above: readonly Placed[]): Placed[] {
  const byPath = groupByPath(above);
  return below.flatMap((placed) => {
    const { path, methods } = placed.route;
    const over = byPath.get(path) ?? [];
    if (over.length === 0) return [placed];
    if (over.some((route) => route.methods === undefined)) return [];
    // A route without methods takes those that no other route of its path lists: it needs no change.
    if (methods === undefined) return [placed];
    const left = methods.filter((method) => !over.some((route) => route.methods?.includes(method)));
    return left.length === 0 ? [] : [{ ...placed, route: { ...placed.route, methods: left } }];
  });
}

function groupByPath(placed: readonly Placed[]): Map<string, PolicyRoute[]> {
  return Map.groupBy(
    placed.map(({ route }) => route),
    ({ path }) => path,
  );
}

function withConfig(route: PolicyRoute, inherited: PluginConfig): PolicyRoute {
  if (Object.keys(inherited).length === 0) return route;
  return { ...route, pluginConfig: { ...route.pluginConfig, ...inherited } };
}

type Broken = { path: Path; message: string }[];

/** What the shared policy locks, and where. */
class Lock {
  readonly #locked: readonly string[];
  readonly #defaults: readonly string[];
  readonly #sharedByPath: ReadonlyMap<string, readonly PolicyRoute[]>;
  readonly #routesByPath: ReadonlyMap<string, readonly PolicyRoute[]>;

  /** @param all the routes that would be in force: those of `below` that are kept, and the layer's */
  constructor(shared: PolicyDocument, below: readonly Placed[], all: readonly Placed[]) {
    this.#locked = shared.locked ?? [];
    this.#defaults = shared.plugins ?? defaultPlugins;
    this.#sharedByPath = groupByPath(below);
    this.#routesByPath = groupByPath(all);
  }

  brokenAtTop(layer: PolicyDocument): Broken {
    const broken = this.#reconfigured(layer.pluginConfig, []);
    for (const name of this.#locked) {
      if (layer.plugins !== undefined && this.#defaults.includes(name) && !layer.plugins.includes(name)) {
        broken.push({ path: ["plugins"], message: `drops ${quoted(name)}, which the shared policy locks` });
      }
    }
    if (layer.locked !== undefined && !isDeepStrictEqual(new Set(layer.locked), new Set(this.#locked))) {
      broken.push({ path: ["locked"], message: "only the shared policy locks plugins" });
    }
    return broken;
  }

  /**
   * Checks one route of the layer.
   * @param plugins those that would run on it
   * @returns options of locked plugins that it takes over from the shared route it covers or shadows
   */
  holdOn(route: PolicyRoute, plugins: readonly string[], path: Path, broken: Broken): PluginConfig {
    broken.push(...this.#reconfigured(route.pluginConfig, path));
    const shadowed = this.#shadowed(route);
    const opensNew = shadowed.has(undefined);
    const inherited: Record<string, Readonly<Record<string, unknown>>> = {};
    for (const name of this.#locked) {
      const guarded = [...shadowed].filter(
        (other) => other !== undefined && (other.plugins ?? this.#defaults).includes(name),
      );
      if (!plugins.includes(name)) {
        if (guarded.length > 0 || opensNew) {
          const message = `must run ${quoted(name)}, which the shared policy locks`;
          broken.push({ path: [...path, "plugins"], message });
        }
        continue;
      }
      const [first, ...others] = guarded.map((other) => other?.pluginConfig?.[name]);
      if (others.some((other) => !isDeepStrictEqual(other, first))) {
        const message = `${quoted(name)} is locked and configured by method here: write one route for each`;
        broken.push({ path: [...path, "methods"], message });
      }
      if (first !== undefined) inherited[name] = first;
    }
    return inherited;
  }

  #reconfigured(config: PluginConfig | undefined, path: Path): Broken {
    return this.#locked
      .filter((name) => config !== undefined && Object.hasOwn(config, name))
      .map((name) => ({
        path: [...path, "pluginConfig", name],
        message: `configures ${quoted(name)}, which the shared policy locks`,
      }));
  }

  /** The shared routes that would answer what this route answers; undefined among them = some of it nobody would. */
  #shadowed(route: PolicyRoute): Set<PolicyRoute | undefined> {
    const siblings = this.#routesByPath.get(route.path) ?? [];
    const covering = this.#covering(route.path);
    const listed = [...siblings, ...covering].flatMap(({ methods }) => methods ?? []);
    const answered = [...new Set([...listed, "HEAD", anyOther])].filter(
      (method) => servedBy(siblings, method) === route,
    );
    return new Set(answered.map((method) => servedBy(covering, method)));
  }

  /** The shared routes of the most specific path that takes all of this one. */
  #covering(path: string): readonly PolicyRoute[] {
    const exact = this.#sharedByPath.get(path);
    if (exact !== undefined) return exact;
    for (let base = path.replace(/\/\*?$/, ""); ; base = base.slice(0, base.lastIndexOf("/"))) {
      const prefix = this.#sharedByPath.get(`${base}/*`);
      if (prefix !== undefined) return prefix;
      if (base === "") return [];
    }
  }
}

/** Stands for every method that no route of the path lists. */
const anyOther = "*";

/** Which of the routes of one path the router gives a method to: GET takes HEAD (RFC 9110 section 9.3.2). */
function servedBy(routes: readonly PolicyRoute[], method: string): PolicyRoute | undefined {
  return (
    routes.find(({ methods }) => methods?.includes(method)) ??
    (method === "HEAD" ? routes.find(({ methods }) => methods?.includes("GET")) : undefined) ??
    routes.find(({ methods }) => methods === undefined)
  );
}
