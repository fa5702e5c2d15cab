// What stands behind a plugin on its route, as a digest: an answer that was made by one policy is not that of another.
import { hash } from "node:crypto";
import type { PluginDefinition } from "../plugin-api/contract.ts";

/** What of a route changes requests and answers behind its plugins. */
export interface RouteBehind {
  readonly pluginConfig: Readonly<Record<string, unknown>>;
  readonly stripPrefix: string | undefined;
  readonly restorePrefix?: boolean | undefined;
}

/** @param ordered the route's plugins, by priority. @returns the same text for whoever has the same policy */
export function behindOf(
  plugin: PluginDefinition,
  ordered: readonly PluginDefinition[],
  { pluginConfig, stripPrefix = "", restorePrefix = false }: RouteBehind,
): string {
  const others = ordered.slice(ordered.indexOf(plugin) + 1);
  const parts = others.map(({ name, version }) => [name, version, sortedText(pluginConfig[name])]);
  return hash("sha256", JSON.stringify([stripPrefix, restorePrefix, parts]), "base64url");
}

const sortedTexts = new WeakMap<object, string>();

/** Options as they are written, without the order of their names. Once for all routes that have them from one place. */
function sortedText(options: unknown): string {
  if (typeof options !== "object" || options === null) return "{}";
  let text = sortedTexts.get(options);
  if (text === undefined) sortedTexts.set(options, (text = JSON.stringify(options, sorted)));
  return text;
}

function sorted(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
