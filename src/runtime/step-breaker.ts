// The breaker of one plugin on one route: what it leaves out is told and counted, since requests go on as if nothing was.
import type { FailMode } from "../plugin-api/contract.ts";
import type { Logger } from "../plugin-api/services.ts";
import { Breaker, type BreakerEvents } from "./breaker.ts";
import type { HookMeasures } from "./hook-measures.ts";

export type { Breaker };

interface BreakerParts {
  readonly definition: { readonly name: string };
  readonly failMode: FailMode;
  /** In place of a new one. */
  readonly breaker?: Breaker | undefined;
  readonly logger: Logger;
  /** The plugin's, whatever the route. */
  readonly measures: Pick<HookMeasures, "leftOut">;
}

/** A plugin's breakers on all its routes tell the same: of thousands none keeps who to tell for itself. */
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
