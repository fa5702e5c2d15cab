// Finds what the policy in force declares for a failure, by route, for the report of a drill.
import type { Fault } from "../drills/fault.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";
import type { EffectivePolicy } from "../policy/read.ts";

type Route = EffectivePolicy["unmatched"];

const maxDepth = 6;

/**
 * @returns texts such as `rate-limit: onStoreError=local`, one per option, by the route's path; "" = requests that no
 * route takes
 */
export function declaredFailures(
  policy: Pick<EffectivePolicy, "routes" | "unmatched" | "document">,
  fault: Fault,
  plugins: readonly PluginDefinition[],
): ReadonlyMap<string, readonly string[]> {
  const definitions = new Map(plugins.map((plugin) => [plugin.name, plugin]));
  return new Map(
    [...policy.routes, policy.unmatched].map((route) => [
      route.path,
      fault.kind === "disk-full" ? ofDisk(policy.document) : ofRoute(route, fault, definitions),
    ]),
  );
}

function ofDisk({ audit }: EffectivePolicy["document"]): readonly string[] {
  return audit?.mode === "blocking"
    ? ["audit: mode=blocking: 503 where records go to OUTRIGGER_AUDIT_FILE"]
    : ["goes on: log lines and records wait, and nothing is kept for the next start"];
}

function ofRoute(
  route: Route,
  fault: Fault,
  definitions: ReadonlyMap<string, PluginDefinition>,
): readonly string[] {
  const { kind, plugin } = fault;
  if (kind === "upstream-down") return ["502, unless a plugin answers"];
  if (kind === "issuer-down")
    return route.plugins.includes("auth") ? ["auth: 503 for tokens that it cannot tell of"] : [];
  if (kind === "plugin-slow")
    return route.plugins.includes(plugin) ? [failMode(route, plugin, definitions)] : [];
  return route.plugins.flatMap((name) =>
    storeErrors(optionsOf(route, definitions.get(name)), []).map((text) => `${name}: ${text}`),
  );
}

function failMode(
  { pluginConfig }: Route,
  name: string,
  definitions: ReadonlyMap<string, PluginDefinition>,
): string {
  const definition = definitions.get(name);
  const written = (pluginConfig[name] as { readonly failMode?: unknown } | undefined)?.failMode;
  const mode = definition?.security === true ? "closed" : (written ?? definition?.failMode);
  return typeof mode === "string" ? `${name}: failMode=${mode}` : `${name}: as its package says`;
}

/** The route's options for the plugin, with defaults. */
function optionsOf({ pluginConfig }: Route, definition: PluginDefinition | undefined): unknown {
  if (definition === undefined) return undefined;
  const {
    failMode: _,
    flag: __,
    ...own
  } = { ...(pluginConfig[definition.name] as object | undefined) } as {
    readonly failMode?: unknown;
    readonly flag?: unknown;
  };
  return definition.options.safeParse(own).data;
}

/** Every `onStoreError` in the options, at any depth, with its path. */
function storeErrors(options: unknown, path: readonly string[]): string[] {
  if (typeof options !== "object" || options === null || path.length > maxDepth) return [];
  return Object.entries(options).flatMap(([key, value]: [string, unknown]) => {
    const here = [...path, key];
    if (key === "onStoreError" && typeof value === "string") return [`${here.join(".")}=${value}`];
    return storeErrors(value, here);
  });
}
