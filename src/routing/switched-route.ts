// Applies the kill switches to a route: removes disabled plugins from its chain, and closes the route if it must.
import { type SwitchedOff } from "../kill-switch/kill-switch.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { Chain } from "../runtime/chain.ts";
import type { CompiledRoute } from "../runtime/set-up.ts";

export interface SwitchedRoute {
  readonly chain: Chain;
  /** undefined = it takes requests. */
  readonly refusal: GatewayError | undefined;
}

/** The service's layer has options that do not fit, for a plugin that decides who gets in. */
const unfit = new GatewayError("not_ready", "The policy of this route does not fit together.");
const guardOff = new GatewayError("plugin_disabled", "What decides who gets in here is switched off.");

export function switchedRoute({ spec, chain }: CompiledRoute, off: SwitchedOff): SwitchedRoute {
  if (spec.closed === true) return { chain, refusal: unfit };
  if (off.size === 0) return { chain, refusal: undefined };
  const out = new Map(chain.steps.map((step) => [step, off.of(step.name, spec.path)]));
  if (![...out.values()].some((by) => by !== undefined)) return { chain, refusal: undefined };
  // A switch must say explicitly that it opens routes.
  const closes = chain.steps.some((step) => step.security && out.get(step)?.openRoutes === false);
  return {
    chain: chain.without((step) => out.get(step) !== undefined),
    refusal: closes ? guardOff : undefined,
  };
}
