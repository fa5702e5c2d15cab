// Requests that took long, and whose time it was.
import type { Exchange, HookTime, Outcome } from "../../src/plugin-api/contract.ts";
import type { PluginTimes } from "./members.ts";

/** Whether it took as long. A tunnel of an upgrade lasts as long as its ends like. */
export function isSlow(exchange: Exchange, outcome: Outcome, slowMs: number): boolean {
  return outcome.durationMs >= slowMs && exchange.request.upgrade === undefined;
}

/** The hooks of each plugin together, in the order in which they first ran. */
export function pluginTimes(hooks: readonly HookTime[]): PluginTimes {
  const sums = new Map<string, number>();
  for (const { plugin, ms } of hooks) sums.set(plugin, (sums.get(plugin) ?? 0) + ms);
  return [...sums].map(([plugin, ms]) => [plugin, Math.round(ms * 1_000) / 1_000] as const);
}
