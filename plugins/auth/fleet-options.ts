// Which of auth's options other services than a layer's own hear of: whom assertions are said to come from and be meant for.
import type { FleetOption } from "../../src/plugin-api/contract.ts";

const heard = ["key", "algorithm", "issuer", "audience", "claims"];

/** @param options as a policy has them, not checked yet */
export function fleetOptions(options: unknown): FleetOption[] {
  const { assertion } = Object(options) as { assertion?: unknown };
  if (typeof assertion !== "object" || assertion === null) return [];
  return Object.entries(assertion)
    .filter(([name]) => heard.includes(name))
    .map(([name, value]) => ({ path: ["assertion", name], values: [value] }));
}
