// A plugin of this process with what it has beyond any policy: its services, its faults, its counts.
import type { Extension } from "../extensions/entry.ts";
import type { ExtensionDefinition } from "./extension-definition.ts";
import { type HookMeasures, measureHooks } from "./hook-measures.ts";
import { PluginFaults } from "./plugin-faults.ts";
import { type HostServices, ScopedServices, type ServicesUser } from "./scoped-services.ts";
import { builtInQuotas, extensionQuotas } from "./services/quotas.ts";

export interface KnownPlugin {
  readonly definition: ExtensionDefinition;
  /** What a policy brought; undefined = it is built in. */
  readonly extension: Extension | undefined;
  readonly faults: PluginFaults;
  readonly scoped: ScopedServices;
  /** Made when its first route is: what no policy has shows in no metric. */
  readonly measures: () => HookMeasures;
  /** Whether its state stays without users until another version comes. */
  readonly lasting: boolean;
}

/** @param others the plugins beside it */
export function knownPlugin(
  definition: ExtensionDefinition,
  services: HostServices,
  others: readonly ServicesUser[],
  extension?: Extension,
): KnownPlugin {
  let made: HookMeasures | undefined;
  const faults = new PluginFaults(definition, services.logger, services.metrics);
  const lasting = extension === undefined;
  if (lasting) faults.show();
  return {
    definition,
    extension,
    faults,
    scoped: new ScopedServices(definition, services, others, lasting ? builtInQuotas : extensionQuotas),
    measures: () => (made ??= measureHooks(definition.name, services.metrics, !lasting)),
    lasting,
  };
}
