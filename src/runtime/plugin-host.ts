// Keeps the plugins that this process knows: the built-in ones and, for each policy, the ones it brings.
import type { Extension } from "../extensions/entry.ts";
import type { Hooks, PluginDefinition } from "../plugin-api/contract.ts";
import type { Alternatives } from "./alternatives.ts";
import { alternativesOf, checkTogether, ExtensionPlugins } from "./extension-plugins.ts";
import { type KnownPlugin, knownPlugin } from "./known-plugin.ts";
import type { HostServices } from "./scoped-services.ts";
import { PluginStates } from "./plugin-states.ts";
import type { Secrets } from "../plugin-api/services.ts";
import type { LongHook } from "./step.ts";

/** Returns hooks to use in place of those that a plugin's set-up made. */
export type AroundHooks = (plugin: string, hooks: Hooks) => Hooks;

export interface PluginHost {
  readonly plugins: ReadonlyMap<string, KnownPlugin>;
  /** The plugins that run only for some of the callers, by name. */
  readonly alternatives: ReadonlyMap<string, Alternatives>;
  readonly states: PluginStates;
  readonly services: HostServices;
  /** Secrets for set-ups, where these may differ from the ones in force. */
  readonly secrets?: Secrets;
  readonly onLongHook: LongHook;
  readonly around?: AroundHooks | undefined;
  /** Adds a plugin, or replaces its other version, in snapshots made from now on. */
  register(definition: PluginDefinition): void;
  /**
   * The same host for one policy, with the plugins that it brings: each policy has its own versions of them. Rejects,
   * naming the extension, when a package cannot be a plugin.
   */
  with(extensions: readonly Extension[]): Promise<PluginHost>;
}

/** @param onLongHook called when a hook blocked the event loop for long */
export function createPluginHost(
  registry: readonly PluginDefinition[],
  services: HostServices,
  onLongHook: LongHook = () => {},
  around?: AroundHooks,
): PluginHost {
  const plugins = new Map<string, KnownPlugin>();
  const register = (definition: PluginDefinition, others: readonly PluginDefinition[]): void =>
    void plugins.set(definition.name, knownPlugin(definition, services, others));
  for (const definition of registry) register(definition, registry);
  const definitions = (): PluginDefinition[] => [...plugins.values()].map(({ definition }) => definition);
  const brought = new ExtensionPlugins(services);
  return {
    plugins,
    alternatives: new Map(),
    states: new PluginStates(services.logger),
    services,
    onLongHook,
    around,
    register: (definition) => register(definition, definitions()),
    async with(extensions) {
      if (extensions.length === 0) return this;
      const added = await brought.of(extensions, definitions());
      const alternatives = alternativesOf(added, services);
      checkTogether([...plugins.values()], added, alternatives);
      const all = new Map([...plugins, ...added.map((plugin) => [plugin.definition.name, plugin] as const)]);
      return { ...this, plugins: all, alternatives };
    },
  };
}
