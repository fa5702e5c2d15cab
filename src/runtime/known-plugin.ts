// Creates the entry of a plugin in this process, with everything that does not depend on a policy: its services, its
// faults, its metrics.
import type { Extension } from "../extensions/entry.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { Budget } from "./budget.ts";
import { type ExtensionDefinition, versionOf } from "./extension-definition.ts";
import { makePlugin } from "./extension-runtimes.ts";
import { type HookMeasures, measureHooks } from "./hook-measures.ts";
import { PluginFaults } from "./plugin-faults.ts";
import { type HostServices, ScopedServices, type ServicesUser } from "./scoped-services.ts";
import { builtInQuotas, extensionQuotas } from "./services/quotas.ts";

export interface KnownPlugin {
  readonly definition: ExtensionDefinition;
  /** The extension that a policy brought; undefined = the plugin is built in. */
  readonly extension: Extension | undefined;
  readonly faults: PluginFaults;
  readonly scoped: ScopedServices;
  /** Created with the plugin's first route, so that a plugin no policy uses has no metrics. */
  readonly measures: () => HookMeasures;
  /** Whether its state is kept while no policy uses it, until another version is registered. */
  readonly lasting: boolean;
}

/** Creates a built-in plugin. @param others the plugins beside it */
export function knownPlugin(
  definition: PluginDefinition,
  services: HostServices,
  others: readonly ServicesUser[],
): KnownPlugin {
  let made: HookMeasures | undefined;
  const faults = new PluginFaults(definition, services.logger, services.metrics);
  faults.show();
  return {
    definition,
    extension: undefined,
    faults,
    scoped: new ScopedServices(definition, services, others, builtInQuotas),
    measures: () => (made ??= measureHooks(definition.name, services.metrics, false)),
    lasting: true,
  };
}

/**
 * Creates a plugin that a policy brings. Rejects when its package cannot be a plugin.
 * @param others the plugins beside it
 */
export async function broughtPlugin(
  extension: Extension,
  services: HostServices,
  others: readonly ServicesUser[],
): Promise<KnownPlugin> {
  const { name } = extension;
  const version = versionOf(extension);
  const faults = new PluginFaults({ name, version }, services.logger, services.metrics);
  // Loaded in its scope, so that whatever it starts while it loads counts as its own.
  const definition = await faults.scope().runInAsyncScope(makePlugin, undefined, extension);
  const { limits } = extension.entry;
  const { needs } = extension.package.manifest;
  const quotas = {
    ...extensionQuotas,
    httpCallsPerSecond:
      limits.httpCallsPerSecond ?? needs.httpCallsPerSecond ?? extensionQuotas.httpCallsPerSecond,
  };
  const micros = limits.timeMicros ?? needs.timeMicros;
  const budget =
    micros === undefined ? undefined : new Budget({ name, version, micros }, { ...services, faults });
  let made: HookMeasures | undefined;
  return {
    definition,
    extension,
    faults,
    scoped: new ScopedServices(definition, services, others, quotas),
    measures: () => (made ??= measureHooks(name, services.metrics, true, budget)),
    lasting: false,
  };
}
