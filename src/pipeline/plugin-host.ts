// The plugins that this process knows, each with what it has beyond any policy: its services, its state, its faults.
import type { PluginDefinition } from "./contract.ts";
import { PluginFaults } from "./plugin-faults.ts";
import { type HostServices, ScopedServices } from "./scoped-services.ts";
import type { LongHook } from "./step.ts";

export interface KnownPlugin {
  readonly definition: PluginDefinition;
  readonly faults: PluginFaults;
  readonly scoped: ScopedServices;
  /** What its `init` made, on first use. */
  readonly state: () => unknown;
}

export interface PluginHost {
  readonly plugins: ReadonlyMap<string, KnownPlugin>;
  readonly services: HostServices;
  readonly onLongHook: LongHook;
}

/** @param onLongHook called for a hook that kept the event loop to itself for long */
export function createPluginHost(
  registry: readonly PluginDefinition[],
  services: HostServices,
  onLongHook: LongHook = () => {},
): PluginHost {
  const known = (definition: PluginDefinition): KnownPlugin => {
    const scoped = new ScopedServices(definition, services, registry);
    let made: { readonly state: unknown } | undefined;
    return {
      definition,
      faults: new PluginFaults(definition, services.logger, services.metrics),
      scoped,
      state: () => (made ??= { state: definition.init?.(scoped.common) }).state,
    };
  };
  const plugins = new Map(registry.map((definition) => [definition.name, known(definition)]));
  return { plugins, services, onLongHook };
}
