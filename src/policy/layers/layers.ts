// Applies a service's layer to the shared policy. Pure: documents in, effective document and broken locks out.
//
// Top level: the layer's default plugins and options go over the shared ones. Routes: the layer's own are added; on the
// same path and method the layer's route replaces the shared one. A locked plugin keeps running, with the shared
// policy's options, wherever the shared policy runs it, and on everything that the layer newly opens. The effective
// document has this whatever the layer says; the parts that the locks overrule are reported beside it.
import { Lookalikes, groupByPath } from "./covering.ts";
import { type Broken, Lock } from "./lock.ts";
import { stricterAudit } from "../document/audit-field.ts";
import { isObject } from "../document/plain-object.ts";
import type { Path } from "../document/problems.ts";
import type { PluginConfig, PolicyDocument, PolicyRoute } from "../document/schema.ts";

/** The document in force: every default at its top is filled in, and every route is for this service. */
export interface EffectiveDocument extends PolicyDocument {
  readonly plugins: readonly string[];
  readonly pluginConfig: PluginConfig;
  readonly locked: readonly string[];
  /**
   * `closed`: the route refuses every request, because the layer's options for a plugin that decides who gets in do not
   * fit.
   */
  readonly routes: readonly (Omit<PolicyRoute, "services"> & { readonly closed?: boolean })[];
}

/** The document that an effective route comes from, and its index there; no index = it is the default route. */
export interface Origin {
  readonly from: "shared" | "layer";
  readonly index: number | undefined;
}

export interface Layered {
  readonly effective: EffectiveDocument;
  /** Parallel to `effective.routes`. */
  readonly origins: readonly Origin[];
  /** Parts of the layer that break locks, by their paths in the layer. `effective` does not have them. */
  readonly broken: readonly { readonly path: Path; readonly message: string }[];
}

interface Placed {
  readonly route: PolicyRoute;
  readonly origin: Origin;
}
const routeOf = ({ route }: Placed): PolicyRoute => route;

/**
 * @param service undefined = the routes of all services
 * @param ownBase base path of the service's own upstream
 */
export function applyLayer(
  shared: PolicyDocument,
  layer: PolicyDocument | undefined,
  service: string | undefined,
  ownBase = "",
): Layered {
  const locked = shared.locked ?? [];
  const below = placedShared(shared, service);
  const written = layer === undefined ? [] : placedRoutes(layer, "layer", service);
  const lookalikes = new Lookalikes(shared, below.map(routeOf));
  let above = written.filter(({ route }) => !lookalikes.include(route));
  const message = "is another spelling of what the shared policy routes and locks plugins for";
  const dropped: Broken = written
    .filter((placed) => !above.includes(placed))
    .map(({ origin }) => ({ path: ["routes", origin.index as number, "path"], message }));
  // Each round drops unlawful routes of the layer. The shared routes that those would have replaced are then in force
  // again.
  for (;;) {
    const kept = withoutOverridden(below, above);
    const lock = new Lock(shared, below.map(routeOf), [...kept, ...above].map(routeOf), ownBase);
    const { plugins, pluginConfig, broken } = lock.holdAtTop(layer);
    broken.push(...dropped);
    const lawful: Placed[] = [];
    const own = above.flatMap((placed) => {
      const { route, origin } = placed;
      const flaws: Broken = [];
      const held = lock.holdOn(route, route.plugins ?? plugins, ["routes", origin.index as number], flaws);
      if (held.length > 0) lawful.push(placed);
      (held.length > 0 ? broken : dropped).push(...flaws);
      return held.map((part) => ({ route: part, origin }));
    });
    if (lawful.length === above.length) {
      const config = merge(shared.pluginConfig ?? {}, pluginConfig) as PluginConfig;
      const tracing = { ...shared.tracing, ...layer?.tracing };
      const audit = stricterAudit(shared.audit, layer?.audit);
      const { extensions, upstreams } = shared;
      const top = { extensions, upstreams, plugins, pluginConfig: config, locked, tracing, audit };
      return effectiveOf(top, [...kept, ...own], broken);
    }
    above = lawful;
  }
}

function effectiveOf(
  { extensions, upstreams, tracing = {}, audit, ...top }: Omit<EffectiveDocument, "apiVersion" | "routes">,
  routes: readonly Placed[],
  broken: Layered["broken"],
): Layered {
  return {
    effective: {
      apiVersion: "outrigger/v1",
      ...(extensions !== undefined && { extensions }),
      ...(upstreams !== undefined && { upstreams }),
      ...(Object.keys(tracing).length > 0 && { tracing }),
      ...(audit !== undefined && { audit }),
      ...top,
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

function placedShared(shared: PolicyDocument, service: string | undefined): Placed[] {
  if (shared.routes === undefined)
    return [{ route: { path: "/*" }, origin: { from: "shared", index: undefined } }];
  return placedRoutes(shared, "shared", service);
}

/** @returns the routes that the shared policy has for a service, as written or by default */
export function sharedRoutes(shared: PolicyDocument, service: string | undefined): PolicyRoute[] {
  return placedShared(shared, service).map(routeOf);
}

function placedRoutes(document: PolicyDocument, from: Origin["from"], service: string | undefined): Placed[] {
  return (document.routes ?? [])
    .map((route, index) => ({ route, origin: { from, index } }))
    .filter(({ route }) => isFor(route, service));
}

/** Whether a route is for this service; undefined = any service. */
export function isFor(route: PolicyRoute, service: string | undefined): boolean {
  return service === undefined || route.services === undefined || route.services.includes(service);
}

/** Merges objects deeply. Arrays and scalars of `over` replace those of `base`. The result shares unchanged parts. */
export function merge(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over;
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    merged.set(key, merged.has(key) ? merge(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
}

/** @returns the shared routes without the methods that the layer's routes take over */
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
