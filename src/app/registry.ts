// Exports the built-in plugins to the composition root and the command line. Nothing else imports them.
import { registry } from "../../plugins/index.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";

export { registry };

/** By name, as the policy parser takes them. */
export const pluginsByName: Readonly<Record<string, PluginDefinition>> = Object.fromEntries(
  registry.map((plugin) => [plugin.name, plugin]),
);
