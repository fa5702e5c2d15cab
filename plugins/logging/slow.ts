// Decides which requests were slow, and sums up the time of each plugin.
import type { Exchange, HookTime, Outcome } from "../../src/plugin-api/contract.ts";
import type { PluginTimes } from "./members.ts";

/** Whether an exchange took at least `slowMs`. Upgrades never count: a tunnel lasts as long as its ends want. */
export function isSlow(exchange: Exchange, outcome: Outcome, slowMs: number): boolean {
  return outcome.durationMs >= slowMs && exchange.request.upgrade === undefined;
}

/** Sums the hooks of each plugin, in milliseconds, in the order in which the plugins first ran. */
export function pluginTimes(hooks: readonly HookTime[]): PluginTimes {
  const sums = new Map<string, number>();
  for (const { plugin, ms } of hooks) sums.set(plugin, (sums.get(plugin) ?? 0) + ms);
  return [...sums].map(([plugin, ms]) => [plugin, Math.round(ms * 1_000) / 1_000] as const);
}
