// Asks a route's plugins what they do for one request with their options there. These are the answers of `policy lint`,
// for one path and method instead of a whole route.
import { compileMethods } from "../language/methods.ts";
import { compilePaths } from "../language/path-pattern.ts";
import type { LintRouteReach, PluginDefinition, PluginLint, Provision } from "../plugin-api/contract.ts";
import type { EffectiveRoute } from "../policy/document/routes.ts";

export type Loaded = ReadonlyMap<
  string,
  { readonly plugin: PluginDefinition; readonly lint: PluginLint<unknown> }
>;

/** @returns the plugins that have such answers */
export async function loadLints(registry: readonly PluginDefinition[]): Promise<Loaded> {
  const loaded = registry.map(async (plugin) => {
    const lint = await plugin.lint?.();
    return lint === undefined ? [] : [[plugin.name, { plugin, lint }] as const];
  });
  return new Map((await Promise.all(loaded)).flat());
}

export interface AskedPath {
  readonly method: string;
  readonly path: string;
}

/**
 * @param ownBase base path of the service's upstream @returns the first plugin that provides it; undefined = none says
 * so
 */
export function providerOf(
  what: Provision,
  route: EffectiveRoute,
  asked: AskedPath,
  { loaded, ownBase }: { readonly loaded: Loaded; readonly ownBase: string },
): string | undefined {
  const reach = reachOf(route, asked, ownBase);
  return route.plugins.find((name) => {
    const known = loaded.get(name);
    const provided = known?.lint.provides?.[what];
    if (known === undefined || provided === undefined) return false;
    const { failMode: _, flag, ...written } = Object(route.pluginConfig[name]) as Record<string, unknown>;
    // A plugin that a flag limits to some callers does not count: the caller is unknown here.
    if (flag !== undefined) return false;
    const options = known.plugin.options.safeParse(written);
    return options.success && provided.call(known.lint.provides, options.data, reach) === true;
  });
}

function reachOf(route: EffectiveRoute, { method, path }: AskedPath, ownBase: string): LintRouteReach {
  const { stripPrefix, caseInsensitive = false } = route;
  const strippedPath = stripPrefix === undefined ? path : path.slice(stripPrefix.length) || "/";
  const paths = { path, strippedPath, upstreamPath: `${ownBase}${strippedPath}` };
  const isMethod = (methods: readonly string[] | undefined): boolean =>
    methods === undefined || compileMethods(methods).has(method);
  const spells = (pattern: string): boolean => compilePaths([pattern], caseInsensitive).spells(path);
  return {
    path,
    stripPrefix,
    takes: (pattern, methods) => spells(pattern) && isMethod(methods),
    serves: (pattern, methods) =>
      compilePaths([pattern], caseInsensitive).couldBe(paths) && isMethod(methods),
    isWithin: (pattern, methods) => spells(pattern) && isMethod(methods),
  };
}
