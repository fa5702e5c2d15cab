// The one door to the plugins that are built in, for the composition root and the command line.
import { registry } from "../../plugins/index.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";

export { registry };

/** By name, as the policy's parser takes them. */
export const pluginsByName: Readonly<Record<string, PluginDefinition>> = Object.fromEntries(
  registry.map((plugin) => [plugin.name, plugin]),
);
