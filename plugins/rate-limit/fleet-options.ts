// Finds the options of rate-limit that concern services other than the layer's own: limits counted by the whole fleet.
import type { FleetOption } from "../../src/plugin-api/contract.ts";

/** @param options as the policy has them, not yet checked */
export function fleetOptions(options: unknown): FleetOption[] {
  const { limits, plans } = Object(options) as { limits?: unknown; plans?: unknown };
  const lists = Object.entries(typeof plans === "object" && plans !== null ? plans : {});
  return [
    { path: ["limits"], values: fleetWide(limits) },
    ...lists.map(([plan, list]) => ({ path: ["plans", plan], values: fleetWide(list) })),
  ].filter(({ values }) => values.length > 0);
}

function fleetWide(limits: unknown): unknown[] {
  if (!Array.isArray(limits)) return [];
  return limits.filter((limit) => (Object(limit) as { sharedBy?: unknown }).sharedBy === "fleet");
}
