// Restricts the log for one plugin: its name in each line, and a limit of lines per second. A plugin that floods the
// log costs the others no lines.
import type { Clock } from "../../plugin-api/services.ts";
import type { LineSink, Logger, Metrics } from "../../plugin-api/telemetry.ts";
import { countRefusal } from "./quota-use.ts";
import { Rate } from "./rate.ts";

export interface LogParts {
  readonly logger: Logger;
  readonly accessLog: LineSink;
  readonly metrics: Metrics;
  readonly clock: Pick<Clock, "mono">;
}

const tellAgainMs = 60_000;

/** @param perSecond Infinity = no limit */
export function scopedLog(
  plugin: string,
  parts: LogParts,
  perSecond: number,
): { readonly logger: Logger; readonly accessLog: LineSink } {
  const { logger, accessLog } = parts;
  if (perSecond === Infinity) return { logger: named(plugin, logger), accessLog };
  const isAdmitted = admission(plugin, parts, perSecond);
  const { debug, info, warn, error } = named(plugin, logger);
  return {
    logger: {
      debug: (fields, message) => void (isAdmitted() && debug(fields, message)),
      info: (fields, message) => void (isAdmitted() && info(fields, message)),
      warn: (fields, message) => void (isAdmitted() && warn(fields, message)),
      error: (fields, message) => void (isAdmitted() && error(fields, message)),
    },
    accessLog: {
      format: accessLog.format,
      write: (line) => void (isAdmitted() && accessLog.write(line)),
    },
  };
}

function admission(plugin: string, { logger, metrics, clock }: LogParts, perSecond: number): () => boolean {
  const rate = new Rate(perSecond, clock.mono());
  let toldMono = -Infinity;
  return () => {
    const now = clock.mono();
    if (rate.take(now)) return true;
    countRefusal({ plugin, quota: "log_lines", metrics });
    if (now - toldMono < tellAgainMs) return false;
    toldMono = now;
    const message = "a plugin logs more than its quota: further lines are dropped and counted";
    logger.warn({ plugin, linesPerSecond: perSecond }, message);
    return false;
  };
}

type Write = Logger["info"];

function named(plugin: string, logger: Logger): { readonly [Level in keyof Logger]: Write } {
  return {
    debug: (fields, message) => logger.debug({ ...fields, plugin }, message),
    info: (fields, message) => logger.info({ ...fields, plugin }, message),
    warn: (fields, message) => logger.warn({ ...fields, plugin }, message),
    error: (fields, message) => logger.error({ ...fields, plugin }, message),
  };
}
