// A service's layer over the shared policy. Pure: documents in, effective document and broken locks out.
//
// Top level: the layer's default plugins and options go over the shared ones. Routes: the layer's own are added; on
// the same path and method the layer's takes the place of the shared one. A locked plugin keeps running, configured as
// the shared policy has it, on everything that the shared policy had it on, and runs on whatever the layer newly opens:
// whatever the layer says, the effective document has it so, and what the locks overruled is told beside it.
import { isDeepStrictEqual } from "node:util";
import { compileMethods } from "../language/methods.ts";
import { Lookalikes, coveringRoutes, groupByPath, reachedRoutes } from "./covering.ts";
import { type Path, quoted } from "./problems.ts";
import { type PluginConfig, type PolicyDocument, type PolicyRoute, defaultPlugins } from "./schema.ts";

/** What is in force: a document itself, with nothing left to default at its top and every route for this service. */
export interface EffectiveDocument extends PolicyDocument {
  readonly plugins: readonly string[];
  readonly pluginConfig: PluginConfig;
  readonly locked: readonly string[];
  /** `closed`: takes nobody, because options of the layer for a plugin that decides who gets in do not fit. */
  readonly routes: readonly (Omit<PolicyRoute, "services"> & { readonly closed?: boolean })[];
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
  /** Locks that the layer breaks, by paths of the layer: parts of it that `effective` does without. */
  readonly broken: readonly { readonly path: Path; readonly message: string }[];
}

interface Placed {
  readonly route: PolicyRoute;
  readonly origin: Origin;
}
const routeOf = ({ route }: Placed): PolicyRoute => route;

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
  const written = layer === undefined ? [] : placedRoutes(layer, "layer", service);
  const lookalikes = new Lookalikes(shared, below.map(routeOf));
  const above = written.filter(({ route }) => !lookalikes.include(route));
  const kept = withoutOverridden(below, above);
  const lock = new Lock(shared, below, [...kept, ...above]);
  const { plugins, pluginConfig, broken } = lock.holdAtTop(layer);
  for (const placed of written) {
    if (above.includes(placed)) continue;
    const message = "is another spelling of what the shared policy routes and locks plugins for";
    broken.push({ path: ["routes", placed.origin.index as number, "path"], message });
  }
  const own = above.flatMap(({ route, origin }) =>
    lock
      .holdOn(route, route.plugins ?? plugins, ["routes", origin.index as number], broken)
      .map((held) => ({ route: held, origin })),
  );
  const routes = [...kept, ...own];
  return {
    effective: {
      apiVersion: "outrigger/v1",
      plugins,
      pluginConfig: merge(shared.pluginConfig ?? {}, pluginConfig) as PluginConfig,
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
  const byPath = groupByPath(above.map(routeOf));
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

type Broken = { path: Path; message: string }[];
/** The methods that a route answers, by the shared route that would answer them without it; undefined = none would. */
type Shadowed = ReadonlyMap<PolicyRoute | undefined, readonly string[]>;

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
    this.#sharedByPath = groupByPath(below.map(routeOf));
    this.#routesByPath = groupByPath(all.map(routeOf));
  }

  /** The layer's defaults as the locks leave them, and which they overrule. */
  holdAtTop(layer: PolicyDocument | undefined): {
    plugins: readonly string[];
    pluginConfig: PluginConfig;
    broken: Broken;
  } {
    const broken = this.#reconfigured(layer?.pluginConfig, []);
    const plugins = [...(layer?.plugins ?? this.#defaults)];
    for (const name of this.#locked) {
      if (!this.#defaults.includes(name) || plugins.includes(name)) continue;
      broken.push({ path: ["plugins"], message: `drops ${quoted(name)}, which the shared policy locks` });
      plugins.push(name);
    }
    if (layer?.locked !== undefined && !isDeepStrictEqual(new Set(layer.locked), new Set(this.#locked))) {
      broken.push({ path: ["locked"], message: "only the shared policy locks plugins" });
    }
    return { plugins, pluginConfig: this.#unlocked(layer?.pluginConfig), broken };
  }

  /**
   * One route of the layer as the locks leave it: with the locked plugins that it must run, in the options of the
   * shared route that it covers or shadows; several, where it does so by method.
   * @param plugins those that it would run
   */
  holdOn(route: PolicyRoute, plugins: readonly string[], path: Path, broken: Broken): PolicyRoute[] {
    broken.push(...this.#reconfigured(route.pluginConfig, path));
    const shadowed = this.#shadowed(route);
    // Nobody guards what the service gets by it but this route.
    const reached = reachedRoutes(this.#sharedByPath, route);
    const running = [...plugins];
    let byMethod = false;
    for (const name of this.#locked) {
      const guarded = [...shadowed.keys()].filter((other) => this.#guards(other, name));
      const behind = reached.filter((other) => this.#guards(other, name));
      if (!plugins.includes(name)) {
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
        broken.push({ path: [...path, "stripPrefix"], message });
        return [];
      }
      if (others.every((other) => isDeepStrictEqual(other, first))) continue;
      const message = `${quoted(name)} is locked and configured by method here: write one route for each`;
      broken.push({ path: [...path, "methods"], message });
      byMethod = true;
    }
    const held = running.length === plugins.length ? route : { ...route, plugins: running };
    if (!byMethod) return [this.#inherit(held, [...shadowed.keys(), ...reached])];
    return splitByMethod(held, shadowed).map(({ part, covered }) => this.#inherit(part, [covered]));
  }

  /** The route with the locked plugins' options from the shared routes that it covers, and none of its own. */
  #inherit(route: PolicyRoute, covered: readonly (PolicyRoute | undefined)[]): PolicyRoute {
    const config: Record<string, Readonly<Record<string, unknown>>> = this.#unlocked(route.pluginConfig);
    for (const name of this.#locked) {
      const options = covered.find((other) => this.#guards(other, name))?.pluginConfig?.[name];
      if (options !== undefined) config[name] = options;
    }
    const held = withConfig(route, config);
    // Whether case tells paths apart is no matter of taste: without it the locked plugins' rules would be passed.
    const folds = this.#locked.length > 0 && covered.some((other) => other?.caseInsensitive === true);
    return folds && held.caseInsensitive !== true ? { ...held, caseInsensitive: true } : held;
  }

  #guards(route: PolicyRoute | undefined, name: string): boolean {
    return route !== undefined && (route.plugins ?? this.#defaults).includes(name);
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

/** The route once for each shared route that it covers, with the methods that it covers there. */
function splitByMethod(route: PolicyRoute, shadowed: Shadowed): Part[] {
  const { methods: _, ...rest } = route;
  const parts: Part[] = [];
  for (const [covered, methods] of shadowed) {
    if (!methods.includes(anyOther)) {
      parts.push({ part: { ...rest, methods }, covered });
      continue;
    }
    parts.push({ part: rest, covered });
    // Unlisted, HEAD would go where GET goes, which may be another part.
    if (methods.includes("HEAD")) parts.push({ part: { ...rest, methods: ["HEAD"] }, covered });
  }
  return parts;
}

/** Which of the routes of one path the router gives a method to: one that names it before one that has it by GET. */
function servedBy(routes: readonly PolicyRoute[], method: string): PolicyRoute | undefined {
  return (
    routes.find(({ methods }) => methods?.includes(method)) ??
    routes.find(({ methods }) => methods !== undefined && compileMethods(methods).has(method)) ??
    routes.find(({ methods }) => methods === undefined)
  );
}
