// The breaker of one plugin on one route: what it leaves out is told and counted, since requests go on as if nothing was.
import type { FailMode } from "../plugin-api/contract.ts";
import type { Logger } from "../plugin-api/services.ts";
import { Breaker } from "./breaker.ts";
import type { HookMeasures } from "./hook-measures.ts";

export type { Breaker };

interface BreakerParts {
  readonly definition: { readonly name: string };
  readonly failMode: FailMode;
  /** In place of a new one. */
  readonly breaker?: Breaker | undefined;
  readonly logger: Logger;
  readonly measures: Pick<HookMeasures, "leftOut">;
}

/** @returns undefined for a plugin that fails closed */
export function stepBreaker({
  definition,
  failMode,
  breaker,
  logger,
  measures,
}: BreakerParts): Breaker | undefined {
  if (failMode !== "open") return undefined;
  const { name: plugin } = definition;
  return (
    breaker ??
    new Breaker({
      onOpen: () => logger.warn({ plugin }, "plugin keeps hanging: requests go on without it for a while"),
      onClose: (hooks) => logger.info({ plugin, hooks }, "plugin answers again; so many hooks were left out"),
      onRefused: () => measures.leftOut.inc(),
    })
  );
}
