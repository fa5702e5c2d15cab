// Runs the checks that plugins bring.
import { pluginsByName } from "../../app/registry.ts";
import type { Config } from "../../config/config.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import type { PluginDefinition } from "../../plugin-api/contract.ts";
import { createStore } from "../../redis/store.ts";
import { declaredSecrets, scopedStore } from "../../runtime/scoped-services.ts";
import { checkOf } from "./finding.ts";

const connectMs = 3_000;

/** Never rejects: a check that throws becomes a finding. */
export async function checkPlugins(
  config: Config,
  nowMs: number,
  plugins: readonly PluginDefinition[] = Object.values(pluginsByName),
): Promise<CheckFinding[]> {
  const { redis, keyPrefix, service } = config;
  const store = redis && createStore({ address: redis, keyPrefix, connectionName: "outrigger-check" });
  try {
    const up = (await store?.whenUp(connectMs)) === true;
    const found: CheckFinding[] = [];
    for (const plugin of plugins) {
      const secrets = declaredSecrets(plugin);
      const context = {
        service,
        nowMs,
        secret: (name: string) => (secrets.has(name) ? config.secrets[name] : undefined),
        store: store && up ? scopedStore(plugin, store, service) : undefined,
      };
      try {
        const told = (await plugin.check?.(context)) ?? [];
        found.push(...told.map((each) => ({ ...each, name: `${plugin.name}/${each.name}` })));
      } catch (error) {
        const message = `could not be looked at: ${error instanceof Error ? error.message : "it threw"}`;
        found.push(checkOf(plugin.name).warn(message, "look at Redis, or report it to who wrote the plugin"));
      }
    }
    return found;
  } finally {
    store?.close();
  }
}
