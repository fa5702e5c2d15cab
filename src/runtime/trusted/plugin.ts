// Implements the runtime `trusted`: runs plugins in this process with all its rights. They are the operator's own
// TypeScript, bundled into one CommonJS text.
import type { Extension } from "../../extensions/entry.ts";
import { hookLimitMs } from "../../extensions/entry.ts";
import type { Manifest } from "../../extensions/manifest.ts";
import { hooksOrClosed } from "../../plugin-api/hook-names.ts";
import type { PluginDefinition } from "../../plugin-api/contract.ts";
import { type ExtensionDefinition, factsOf } from "../extension-definition.ts";
import { loadBundle } from "./bundle.ts";

/** @throws Error when the package cannot be loaded, or the plugin differs from its manifest */
export function createTrustedPlugin(extension: Extension): ExtensionDefinition {
  const { manifest, bytes } = extension.package;
  const place = `${manifest.name}@${manifest.version}`;
  const definition = definitionIn(loadBundle(bytes.toString(), place), place);
  const lie = lieOf(manifest, definition);
  if (lie !== undefined) throw new Error(`${place} is not what its manifest says: ${lie}`);
  const { refuses } = definition;
  return {
    ...factsOf(extension),
    // The manifest's schema is for tools that cannot run the package. Only the package's own schema sets the defaults.
    options: definition.options,
    ...(refuses === undefined ? {} : { refuses }),
    // A definition may be an instance of a class, so its methods are called on the definition itself.
    init: (services) => definition.init?.(services),
    dispose: (state) => definition.dispose?.(state),
    ...(definition.exportState !== undefined && {
      exportState: (state: unknown) => definition.exportState?.(state),
    }),
    ...(definition.importState !== undefined && {
      importState: (state: unknown, exported: unknown) => definition.importState?.(state, exported),
    }),
    async setup(input) {
      return hooksOrClosed(await definition.setup(input), manifest.hooks);
    },
    hookLimitMs: hookLimitMs(extension.entry),
  };
}

/** Finds the plugin in the package's exports: `plugin`, the default export, or the exports themselves. */
export function definitionIn(exported: unknown, place: string): PluginDefinition {
  for (const candidate of [memberOf(exported, "plugin"), memberOf(exported, "default"), exported])
    if (isDefinition(candidate)) return candidate;
  throw new Error(`${place} exports no plugin: module.exports.plugin must be what definePlugin gives`);
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function isDefinition(value: unknown): value is PluginDefinition {
  return (
    typeof memberOf(value, "setup") === "function" &&
    typeof memberOf(memberOf(value, "options"), "parse") === "function"
  );
}

/** Members of a definition that are needed before any package is loaded, or in a process that loads none. */
const foreign = [
  "secrets",
  "requestFields",
  "secretNames",
  "fleetOptions",
  "cookies",
  "sharedState",
] as const satisfies readonly (keyof PluginDefinition)[];

/** @returns how the definition differs from the manifest; undefined = it does not */
function lieOf(manifest: Manifest, definition: PluginDefinition): string | undefined {
  for (const fact of ["name", "version", "priority", "security", "failMode"] as const)
    if (definition[fact] !== manifest[fact])
      return `its ${fact} is ${JSON.stringify(definition[fact])}, not ${JSON.stringify(manifest[fact])}`;
  if (definition.apiVersion !== 1) return `its apiVersion is ${JSON.stringify(definition.apiVersion)}, not 1`;
  const unusable = foreign.find((name) => definition[name] !== undefined);
  if (unusable !== undefined) return `it has ${unusable}, which only a built-in plugin can have`;
  const { database, ...lists } = definition.needs ?? {};
  if (database !== undefined && database !== manifest.needs.database)
    return `it needs the database ${database}, which its needs.database is not`;
  for (const [kind, names] of Object.entries<readonly string[]>(lists)) {
    if (kind !== "keys" && kind !== "secrets" && kind !== "hosts") {
      if (names.length > 0) return `it needs ${kind}, which only a built-in plugin can have`;
      continue;
    }
    const missing = names.find((name) => !manifest.needs[kind].includes(name));
    if (missing !== undefined) return `it needs ${missing}, which is not in its ${kind}`;
  }
  return undefined;
}
