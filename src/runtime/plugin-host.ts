// The plugins that this process knows, each with what it has beyond any policy: its services, its state, its faults.
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { type HookMeasures, measureHooks } from "./hook-measures.ts";
import { PluginFaults } from "./plugin-faults.ts";
import { type HostServices, ScopedServices } from "./scoped-services.ts";
import { PluginStates } from "./plugin-states.ts";
import type { Secrets } from "../plugin-api/services.ts";
import type { LongHook } from "./step.ts";

export interface KnownPlugin {
  readonly definition: PluginDefinition;
  readonly faults: PluginFaults;
  readonly scoped: ScopedServices;
  /** Made when its first route is: what no policy has shows in no metric. */
  readonly measures: () => HookMeasures;
}

export interface PluginHost {
  readonly plugins: ReadonlyMap<string, KnownPlugin>;
  readonly states: PluginStates;
  readonly services: HostServices;
  /** What set-ups are given, where that may be other secrets than those in force. */
  readonly secrets?: Secrets;
  readonly onLongHook: LongHook;
  /** Snapshots made from now on have this plugin, in place of another version if there was one. */
  register(definition: PluginDefinition): void;
}

/** @param onLongHook called for a hook that kept the event loop to itself for long */
export function createPluginHost(
  registry: readonly PluginDefinition[],
  services: HostServices,
  onLongHook: LongHook = () => {},
): PluginHost {
  const plugins = new Map<string, KnownPlugin>();
  const register = (definition: PluginDefinition, others: readonly PluginDefinition[]): void => {
    const faults = new PluginFaults(definition, services.logger, services.metrics);
    const scoped = new ScopedServices(definition, services, others);
    let made: HookMeasures | undefined;
    const measures = (): HookMeasures => (made ??= measureHooks(definition.name, services.metrics));
    plugins.set(definition.name, { definition, faults, scoped, measures });
  };
  for (const definition of registry) register(definition, registry);
  return {
    plugins,
    states: new PluginStates(services.logger),
    services,
    onLongHook,
    register: (definition) =>
      register(
        definition,
        [...plugins.values()].map((each) => each.definition),
      ),
  };
}
