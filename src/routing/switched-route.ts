// A route under the kill switches: its chain without the plugins that are off, and why it takes nobody.
import { type SwitchedOff } from "../kill-switch/kill-switch.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { Chain } from "../runtime/chain.ts";
import type { CompiledRoute } from "../runtime/set-up.ts";

export interface SwitchedRoute {
  readonly chain: Chain;
  /** undefined = it takes requests. */
  readonly refusal: GatewayError | undefined;
}

/** Options of the service's layer for a plugin that decides who gets in do not fit. */
const unfit = new GatewayError("not_ready", "The policy of this route does not fit together.");
const guardOff = new GatewayError("plugin_disabled", "What decides who gets in here is switched off.");

export function switchedRoute({ spec, chain }: CompiledRoute, off: SwitchedOff): SwitchedRoute {
  if (spec.closed === true) return { chain, refusal: unfit };
  if (off.size === 0) return { chain, refusal: undefined };
  const out = new Map(chain.steps.map((step) => [step, off.of(step.name, spec.path)]));
  if (![...out.values()].some((by) => by !== undefined)) return { chain, refusal: undefined };
  // A switch that says nothing of open routes opens none.
  const closes = chain.steps.some((step) => step.security && out.get(step)?.openRoutes === false);
  return {
    chain: chain.without((step) => out.get(step) !== undefined),
    refusal: closes ? guardOff : undefined,
  };
}
