// Removes from a service's layer what no layer may say, with or without locks: who the caller is (only plugins that the
// shared policy configures set identity fields), options that other services learn of, and upstreams outside its own
// service. Pure, like the layering itself.
import { isDeepStrictEqual } from "node:util";
import type { UpstreamAddress } from "../../config/formats.ts";
import { upstreamTest } from "./confine-upstream.ts";
import { isObject } from "../document/plain-object.ts";
import { sharedRoutes } from "./layers.ts";
import { type Path, quoted } from "../document/problems.ts";
import type {
  PluginConfig,
  PolicyCookie,
  PolicyDocument,
  PolicyPlugins,
  PolicyRoute,
} from "../document/schema.ts";

export interface ConfineOptions {
  readonly plugins: PolicyPlugins;
  readonly service: string | undefined;
  /** The service's own upstream; undefined = unknown, and upstreams are not checked. */
  readonly ownUpstream: UpstreamAddress | undefined;
}

export interface Confined {
  /** The layer without what it may not say; its routes keep their places. */
  readonly document: PolicyDocument;
  readonly broken: readonly { readonly path: Path; readonly message: string }[];
}

/** Services read `_` in a field name as `-`. */
const canonical = (name: string): string => name.toLowerCase().replaceAll("_", "-");

/** @returns the canonical names of the request fields by which the shared policy tells the service who the caller is */
export function identityFields(shared: PolicyDocument, plugins: PolicyPlugins): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [plugin, options] of configsOf(shared)) {
    for (const { name, tellsWho } of plugins[plugin]?.requestFields?.(options) ?? []) {
      if (tellsWho) names.add(canonical(name));
    }
  }
  return names;
}

/**
 * @returns the cookies of the shared policy's plugins on all services' routes: browsers send them to every service of
 * their origin
 */
export function ownedCookies(shared: PolicyDocument, plugins: PolicyPlugins): readonly PolicyCookie[] {
  const cookies = new Map<string, PolicyCookie>();
  for (const [plugin, options] of configsOf(shared)) {
    for (const cookie of plugins[plugin]?.cookies?.(options) ?? []) {
      // If one configuration forbids services to set the cookie, no service may.
      if (cookies.get(cookie.name)?.fromService ?? true) cookies.set(cookie.name, cookie);
    }
  }
  return [...cookies.values()];
}

/** @returns the shared policy's options for plugins, at its top and on its routes */
function configsOf(shared: PolicyDocument): [plugin: string, options: unknown][] {
  const configs = [shared.pluginConfig, ...(shared.routes ?? []).map(({ pluginConfig }) => pluginConfig)];
  return configs.flatMap((config) => Object.entries(config ?? {}));
}

/** @returns a test of whether a field tells the service who the caller is */
function identityTest(shared: PolicyDocument, plugins: ConfineOptions["plugins"]): (name: string) => boolean {
  const identity = identityFields(shared, plugins);
  return (name) => canonical(name).startsWith("x-user-") || identity.has(canonical(name));
}

export function confineLayer(
  layer: PolicyDocument,
  shared: PolicyDocument,
  options: ConfineOptions,
): Confined {
  const broken: { path: Path; message: string }[] = [];
  const isIdentity = identityTest(shared, options.plugins);
  const below = sharedRoutes(shared, options.service);
  const isSaid = saidToFleet(
    [shared.pluginConfig, ...below.map(({ pluginConfig }) => pluginConfig)],
    options,
  );
  const confineConfig = (config: PluginConfig | undefined, at: Path): PluginConfig | undefined => {
    let confined = config;
    for (const [plugin, own] of Object.entries(config ?? {})) {
      for (const { name, path } of options.plugins[plugin]?.requestFields?.(own) ?? []) {
        if (!isIdentity(name)) continue;
        const message = `sets ${quoted(name)}, which tells the service who calls: that is for the shared policy`;
        broken.push({ path: [...at, "pluginConfig", plugin, ...path], message });
        confined = without(confined, [plugin, ...path]) as PluginConfig;
      }
      for (const { path, values } of options.plugins[plugin]?.fleetOptions?.(own) ?? []) {
        if (values.every((value) => isSaid(plugin, path, value))) continue;
        const message = "is heard by other services: that is for the shared policy";
        broken.push({ path: [...at, "pluginConfig", plugin, ...path], message });
        confined = without(confined, [plugin, ...path]) as PluginConfig;
      }
    }
    return confined;
  };
  const flawOfUpstream = upstreamTest(shared, below, options.ownUpstream);
  const confineRoute = (route: PolicyRoute, index: number): PolicyRoute => {
    const at = ["routes", index];
    const { upstream: _, ...rest } = route;
    const pluginConfig = confineConfig(route.pluginConfig, at);
    const confined = pluginConfig === route.pluginConfig ? route : { ...route, pluginConfig };
    const message = flawOfUpstream(route);
    if (message === undefined) return confined;
    broken.push({ path: [...at, "upstream"], message });
    return pluginConfig === undefined ? rest : { ...rest, pluginConfig };
  };
  const pluginConfig = confineConfig(layer.pluginConfig, []);
  const routes = layer.routes?.map(confineRoute);
  return { document: broken.length === 0 ? layer : { ...layer, pluginConfig, routes }, broken };
}

/** @returns a test of whether the shared policy has the same option with the same value for other services */
function saidToFleet(
  configs: readonly (PluginConfig | undefined)[],
  { plugins }: ConfineOptions,
): (plugin: string, path: Path, value: unknown) => boolean {
  return (plugin, path, value) => {
    const said = configs.flatMap((config) => plugins[plugin]?.fleetOptions?.(config?.[plugin]) ?? []);
    return said.some(
      (other) =>
        isDeepStrictEqual(other.path, path) && other.values.some((each) => isDeepStrictEqual(each, value)),
    );
  };
}

/** @returns a copy of the value without the member at the path */
function without(value: unknown, [key, ...rest]: Path): unknown {
  if (!isObject(value) || key === undefined || !Object.hasOwn(value, key)) return value;
  const entries = Object.entries(value).filter(([name]) => rest.length > 0 || name !== key);
  return Object.fromEntries(
    entries.map(([name, member]) => [name, name === key ? without(member, rest) : member]),
  );
}
