// Plugins for tests of the pipeline: each runs the functions that the test gives it.
import { z } from "zod";
import { definePlugin, type Hooks, type PluginDefinition } from "../../src/plugin-api/contract.ts";

/** A security plugin that admits every request. */
export const guardPlugin = definePlugin({
  name: "guard",
  version: "1.0.0",
  apiVersion: 1,
  priority: 11,
  security: true,
  failMode: "closed",
  options: z.strictObject({}),
  setup: () => ({ onRequest: () => undefined }),
});

/** A plugin with the given hooks. */
export function pluginWith(
  name: string,
  hooks: Hooks,
  facts: { priority?: number; failMode?: "open" | "closed"; security?: boolean } = {},
): PluginDefinition {
  return definePlugin({
    name,
    version: "1.0.0",
    apiVersion: 1,
    priority: facts.priority ?? 30,
    security: facts.security ?? false,
    failMode: facts.failMode ?? "closed",
    options: z.strictObject({}),
    setup: () => hooks,
  }) as PluginDefinition;
}
