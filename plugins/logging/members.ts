// Collects the members of a line, independent of the format. `json` writes the same members by a faster way (line.ts).
import type { Exchange, GatewayError, Outcome, RouteInfo } from "../../src/plugin-api/contract.ts";
import type { LoggingOptions } from "./options.ts";
import type { HidableMember, PickedFields, Redaction } from "./redact.ts";

/** Parts that only some lines have. */
export interface LineExtra {
  readonly requestHeaders?: PickedFields | undefined;
  readonly responseHeaders?: PickedFields | undefined;
  /** Milliseconds per plugin; only for slow requests. */
  readonly pluginMs?: PluginTimes | undefined;
}

export type PluginTimes = readonly (readonly [plugin: string, ms: number])[];

/** Writes one line of a route in one format. @param level pino's number */
export type AccessLine = (exchange: Exchange, outcome: Outcome, level: number, extra?: LineExtra) => string;

/** Name as in the `json` format, and value. */
export type Member = readonly [name: string, value: string | number | PickedFields | PluginTimes];

const asIs = (value: string): string => value;

/**
 * Collects the members that depend on the exchange and are present. Level, time and origin are left to the format.
 * @returns values already redacted, not yet encoded for a format
 */
export function compileMembers(
  options: LoggingOptions,
  route: RouteInfo,
  redaction: Redaction,
): (exchange: Exchange, outcome: Outcome, extra: LineExtra | undefined) => Member[] {
  const shown = (member: HidableMember) => redaction.shown(member, asIs);
  const path = shown("path");
  const host = shown("host");
  const clientIp = shown("clientIp");
  const userId = shown("userId");
  const credentialId = shown("credentialId");
  const userAgent = shown("userAgent");
  return function membersOf(exchange, outcome, extra) {
    const { request, identity, trace } = exchange;
    const agent = request.fields.get("user-agent");
    const members: Member[] = [
      ["route", route.pattern],
      ["upstream", route.upstream],
      ["method", request.method],
      ["status", outcome.status],
      ["end", outcome.end],
      ["host", host(request.host)],
      ["clientIp", clientIp(exchange.client.address)],
      ["requestId", exchange.id],
      ["path", path(request.path)],
      ["durationMs", thousandths(outcome.durationMs)],
      ["requestBytes", outcome.requestBytes],
      ["responseBytes", outcome.responseBytes],
    ];
    if (options.sample < 1) members.push(["sample", options.sample]);
    if (identity !== undefined) members.push(["userId", userId(identity.userId)]);
    if (trace !== undefined) members.push(["traceId", trace.traceId], ["spanId", trace.spanId]);
    if (identity?.credentialId !== undefined)
      members.push(["credentialId", credentialId(identity.credentialId)]);
    if (agent !== undefined) members.push(["userAgent", userAgent(agent)]);
    if (options.query && request.query !== "") members.push(["query", redaction.query(request.query)]);
    addCourse(members, exchange, outcome);
    for (const [name, value] of Object.entries(extra ?? {}) as [string, PickedFields | PluginTimes][])
      if (value !== undefined && value.length > 0) members.push([name, value]);
    return members;
  };
}

/** Members about the outcome that only some exchanges have. */
function addCourse(members: Member[], exchange: Exchange, outcome: Outcome): void {
  const add = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) members.push([name, value]);
  };
  const { upstreamMs, requestMessages, error } = outcome;
  add("upgrade", exchange.request.upgrade);
  add("grpcStatus", outcome.grpcStatus);
  add("requestMessages", requestMessages);
  if (requestMessages !== undefined) add("responseMessages", outcome.responseMessages ?? 0);
  add("closeCode", outcome.closeCode);
  add("closedBy", outcome.closedBy);
  if (upstreamMs !== undefined) add("upstreamMs", thousandths(upstreamMs));
  add("retries", outcome.retries);
  add("answeredBy", outcome.answeredBy);
  add("cacheStatus", exchange.cacheStatus);
  add("score", exchange.score);
  add("refusedBecause", exchange.refusedBecause);
  add("error", error?.code);
  add("errorCause", systemCodeOf(error));
}

/** The system's error code behind an error. Messages are never used: they may quote the data that they failed on. */
export function systemCodeOf(error: GatewayError | undefined): string | undefined {
  const cause = error?.cause;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : undefined;
}

const thousandths = (ms: number): number => Math.round(ms * 1_000) / 1_000;
