// Lists auth's options that other services depend on, too: whom assertions come from and for whom they are meant.
import type { FleetOption } from "../../src/plugin-api/contract.ts";

const heard = ["key", "algorithm", "issuer", "audience", "claims"];

/** @param options as written in a policy, not validated yet */
export function fleetOptions(options: unknown): FleetOption[] {
  const { assertion } = Object(options) as { assertion?: unknown };
  if (typeof assertion !== "object" || assertion === null) return [];
  return Object.entries(assertion)
    .filter(([name]) => heard.includes(name))
    .map(([name, value]) => ({ path: ["assertion", name], values: [value] }));
}
