// Shows a policy to lint rules: every route with the plugins that run on it, their checked and complete options, and
// the place where each was written.
import type { LintRoute, PluginLint, Provision } from "../../plugin-api/lint.ts";
import { isObject } from "../../policy/document/plain-object.ts";
import { applyLayer, merge, type Layered, type Origin } from "../../policy/layers/layers.ts";
import type { Path } from "../../policy/document/problems.ts";
import type { PolicyPlugin, PolicyRoute } from "../../policy/document/schema.ts";
import { type SourceDocument, type Sources, type Writer, writerOf } from "../../policy/document/written.ts";
import { Reach } from "./reach.ts";

/** The parts of a plugin that lint needs to know; every plugin definition has them. */
export interface LintPlugin extends PolicyPlugin {
  readonly failMode: "open" | "closed";
  lint?(): Promise<PluginLint<unknown>>;
}
export type LintPlugins = Readonly<Record<string, LintPlugin>>;

/** Plugins with their lint rules loaded. */
export type LoadedPlugins = Readonly<
  Record<string, Omit<LintPlugin, "lint"> & { readonly lint?: PluginLint<unknown> | undefined }>
>;

export async function loadRules(plugins: LintPlugins): Promise<LoadedPlugins> {
  const loaded = Object.entries(plugins).map(async ([name, plugin]) => [
    name,
    { ...plugin, lint: await plugin.lint?.() },
  ]);
  return Object.fromEntries((await Promise.all(loaded)) as [string, LoadedPlugins[string]][]);
}

/** A field of a document. */
export interface Place {
  readonly document: SourceDocument;
  readonly path: Path;
}

export interface RouteView extends LintRoute {
  /** The route with its `services`, and with its plugins as they are in force. */
  readonly route: PolicyRoute;
  readonly plugins: readonly string[];
  /** The checked options, with defaults, of each plugin that runs on the route. */
  readonly options: ReadonlyMap<string, unknown>;
  /** @returns the fail mode that the policy sets; undefined = the plugin's own */
  failModeOf(plugin: string): unknown;
  /** @returns the flag that the policy sets: for whom the plugin runs; undefined = for everybody */
  flagOf(plugin: string): unknown;
  readonly place: Place;
  /** Where the list of the route's plugins is written. For a shared route that may be a layer's defaults. */
  readonly pluginsPlace: Place;
  /** @returns the document and part that wrote an option which is in force here */
  writerOf(plugin: string, path: Path): Writer;
  placeOf(plugin: string, path: Path): Place;
  /**
   * @returns why no plugin of the route provides this, in the words of those that could; undefined = none of them could
   */
  whyNot(what: Provision): string | undefined;
}

export interface PolicyView {
  readonly sources: Sources;
  readonly plugins: LoadedPlugins;
  /** Whether sidecars require signatures; undefined = unknown. */
  readonly isSigned: boolean | undefined;
  readonly effective: Layered["effective"];
  readonly routes: readonly RouteView[];
  readonly reach: Reach;
  /** @param route a route that `reach` returned */
  readonly viewOf: (route: PolicyRoute) => RouteView;
}

export interface ViewOptions {
  readonly plugins: LoadedPlugins;
  /** The service that the policy is for; undefined = all services' routes. */
  readonly service: string | undefined;
  /** Base path of the service's own upstream. */
  readonly ownBase: string;
  /** Whether sidecars require signatures. Default: unknown. */
  readonly isSigned?: boolean | undefined;
}

export function createView(sources: Sources, options: ViewOptions): PolicyView {
  const { plugins, service, ownBase, isSigned } = options;
  const { shared, layer } = sources;
  const { effective, origins } = applyLayer(shared.document, layer?.document, service, ownBase);
  const routes = effective.routes.map((route, at): PolicyRoute => {
    const services = writtenRoute(sources, origins[at] as Origin)?.services;
    return services === undefined ? route : { ...route, services };
  });
  const reach = new Reach(routes, ownBase);
  const optionsOf = optionsReader(plugins, effective.pluginConfig);
  const views = routes.map((route, at): RouteView => {
    const origin = origins[at] as Origin;
    const running = route.plugins ?? effective.plugins;
    const configured = new Map(running.map((name) => [name, optionsOf(name, route)]));
    const from = reach.of(route);
    const commonOf = (name: string, field: string): unknown =>
      route.pluginConfig?.[name]?.[field] ?? effective.pluginConfig[name]?.[field];
    const asked = remembering((what: Provision) =>
      running.flatMap((name) => {
        const provided = plugins[name]?.lint?.provides?.[what]?.(configured.get(name), from);
        const isForSome = provided === true && commonOf(name, "flag") !== undefined;
        return isForSome ? `${name} runs for some callers alone, by its flag` : (provided ?? []);
      }),
    );
    const writer = writersFor(sources, route, origin);
    return {
      ...from,
      route,
      plugins: running,
      options: configured,
      failModeOf: (name) => commonOf(name, "failMode"),
      flagOf: (name) => commonOf(name, "flag"),
      place: placeOfRoute(sources, origin),
      pluginsPlace: pluginsPlaceOf(sources, route, origin),
      writerOf: writer,
      placeOf: (name, path) => placeBy(writer(name, path), name, path),
      provides: (what) => asked(what).includes(true),
      whyNot: (what) => asked(what).find((answer) => answer !== true),
    };
  });
  const byRoute = new Map(views.map((each) => [each.route, each]));
  const viewOf = (route: PolicyRoute): RouteView => byRoute.get(route) as RouteView;
  return { sources, plugins, isSigned, effective, routes: views, reach, viewOf };
}

/**
 * @returns a reader of the options that a plugin has on a route; it gives undefined for options that the plugin refuses
 */
function optionsReader(
  plugins: PolicyView["plugins"],
  common: PolicyView["effective"]["pluginConfig"],
): (name: string, route: PolicyRoute) => unknown {
  const defaults = new Map<string, unknown>();
  const checked = (name: string, config: unknown): unknown => {
    const { failMode: _, flag: _flag, ...options } = isObject(config) ? config : {};
    return plugins[name]?.options.safeParse(options).data;
  };
  return (name, route) => {
    const own = route.pluginConfig?.[name];
    if (own !== undefined) return checked(name, merge(common[name] ?? {}, own));
    if (!defaults.has(name)) defaults.set(name, checked(name, common[name]));
    return defaults.get(name);
  };
}

export function placeBy({ document, prefix }: Writer, plugin: string, path: Path): Place {
  return { document, path: [...prefix, "pluginConfig", plugin, ...path] };
}

/** @returns the path of the list that holds the member, or the option's own path */
export function wholeOf(path: Path): Path {
  const member = path.findIndex((part) => typeof part === "number");
  return member === -1 ? path : path.slice(0, member);
}

/**
 * @returns a finder of the writer of a plugin's options on the route. A list replaces another list as a whole, so all
 * its members have the list's writer.
 */
function writersFor(
  sources: Sources,
  { pluginConfig }: PolicyRoute,
  origin: Origin,
): (plugin: string, path: Path) => Writer {
  const known = new Map<string, Writer>();
  return (plugin, path) => {
    const whole = [plugin, ...wholeOf(path)];
    const key = whole.join("\n");
    const writer =
      known.get(key) ?? writerOf(sources, whole, pluginConfig?.[plugin] === undefined ? undefined : origin);
    known.set(key, writer);
    return writer;
  };
}

function remembering<Key, Value>(find: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    const value = known.has(key) ? (known.get(key) as Value) : find(key);
    known.set(key, value);
    return value;
  };
}

function writtenRoute({ shared, layer }: Sources, { from, index }: Origin): PolicyRoute | undefined {
  return index === undefined ? undefined : (from === "layer" ? layer : shared)?.document.routes?.[index];
}

function placeOfRoute({ shared, layer }: Sources, { from, index }: Origin): Place {
  const document = from === "layer" && layer !== undefined ? layer : shared;
  return { document, path: index === undefined ? [] : ["routes", index] };
}

function pluginsPlaceOf(sources: Sources, route: PolicyRoute, origin: Origin): Place {
  const { layer } = sources;
  const byLayer = origin.from === "shared" && writtenRoute(sources, origin)?.plugins === undefined;
  if (byLayer && layer?.document.plugins !== undefined) return { document: layer, path: ["plugins"] };
  const { document, path } = placeOfRoute(sources, origin);
  return { document, path: route.plugins === undefined || path.length === 0 ? path : [...path, "plugins"] };
}
