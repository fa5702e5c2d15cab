// Creates the breaker of one plugin on one route. Hooks that the breaker skips are logged and counted, because requests
// go on without a sign of it.
import type { FailMode } from "../plugin-api/contract.ts";
import type { Logger } from "../plugin-api/services.ts";
import { Breaker, type BreakerEvents } from "./breaker.ts";
import type { HookMeasures } from "./hook-measures.ts";

export type { Breaker };

interface BreakerParts {
  readonly definition: { readonly name: string };
  readonly failMode: FailMode;
  /** An existing breaker to use instead of a new one. */
  readonly breaker?: Breaker | undefined;
  readonly logger: Logger;
  /** The plugin's metrics, over all routes. */
  readonly measures: Pick<HookMeasures, "leftOut">;
}

/** All breakers of a plugin share one listener object: with thousands of routes, one per route would waste memory. */
const told = new WeakMap<BreakerParts["measures"], BreakerEvents>();

/** @returns undefined for a plugin that fails closed */
export function stepBreaker({
  definition,
  failMode,
  breaker,
  logger,
  measures,
}: BreakerParts): Breaker | undefined {
  if (failMode !== "open") return undefined;
  if (breaker !== undefined) return breaker;
  let events = told.get(measures);
  if (events === undefined) told.set(measures, (events = eventsOf(definition.name, logger, measures)));
  return new Breaker(events);
}

function eventsOf(plugin: string, logger: Logger, measures: BreakerParts["measures"]): BreakerEvents {
  return {
    onOpen: () => logger.warn({ plugin }, "plugin keeps hanging: requests go on without it for a while"),
    onClose: (hooks) => logger.info({ plugin, hooks }, "plugin answers again; so many hooks were left out"),
    onRefused: () => measures.leftOut.inc(),
  };
}
