// Selects the format of a line by the name in `OUTRIGGER_LOG_FORMAT`.
import type { Fleet, LogFormat, RouteInfo } from "../../src/plugin-api/contract.ts";
import { compileClfLine } from "./clf.ts";
import { compileEcsLine } from "./ecs.ts";
import { compileLine } from "./line.ts";
import type { AccessLine } from "./members.ts";
import type { LoggingOptions } from "./options.ts";
import { compileOtelLine } from "./otel.ts";
import { compileRedaction } from "./redact.ts";

/** Compiles the lines of one route; redaction is the same in every format. */
export function compileFormat(
  format: LogFormat,
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
): AccessLine {
  const redaction = compileRedaction(options.redact, route);
  if (format === "ecs") return compileEcsLine(options, route, fleet, redaction);
  if (format === "otel") return compileOtelLine(options, route, fleet, redaction);
  if (format === "clf") return compileClfLine(options, route, redaction);
  return compileLine(options, route, fleet, redaction);
}
