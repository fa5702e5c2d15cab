// The access-log line: one JSON document in pino's shape, put together as text. The members are an allow-list;
// whatever came from outside goes through `jsonText`.
import type { Exchange, Fleet, GatewayError, Outcome, RouteInfo } from "../../src/plugin-api/contract.ts";
import type { LoggingOptions } from "./options.ts";
import { compileQueryRedaction, redacted, secretNames } from "../../src/language/secret-names.ts";
import { createIsoTime, decimals, inOnePiece, jsonText, keepLast } from "./text.ts";

/** pino's numbers of the levels, and those at which nothing is left out or nothing is written. */
export const levelNumbers = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, silent: 100 } as const;

/** UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const grpcFaults = new Set([2, 4, 13, 14, 15]);

/** `error` for what the service or the sidecar did wrong, `warn` for what the client did or what was cut off, else `info`. */
export function levelOf(outcome: Outcome): number {
  if (outcome.grpcStatus !== undefined && outcome.grpcStatus !== 0)
    return grpcFaults.has(outcome.grpcStatus) ? levelNumbers.error : levelNumbers.warn;
  if (outcome.status >= 500 || outcome.end === "failed" || outcome.end === "upstream-aborted") {
    return levelNumbers.error;
  }
  return outcome.status >= 400 || outcome.end !== "complete" ? levelNumbers.warn : levelNumbers.info;
}

/**
 * Compiles the line of one route.
 * @returns a function that builds it; `extra` is text of further members, each with a comma before it
 */
export function compileLine(
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
): (exchange: Exchange, outcome: Outcome, level: number, extra: string) => string {
  const secrets = secretNames([...options.redact, ...route.secretNames]);
  const hidden = secretNames(options.redact);
  const shown = (member: string): ((value: string) => string) =>
    hidden.has(member.toLowerCase()) ? () => `"${redacted}"` : jsonText;
  const path = shown("path");
  const userId = shown("userId");
  const host = shown("host");
  const clientIp = shown("clientIp");
  const credentialId = shown("credentialId");
  const userAgent = secrets.has("user-agent") ? () => `"${redacted}"` : shown("userAgent");
  const redactQuery = compileQueryRedaction(secrets);
  const fixed =
    `,"msg":"request","service":${jsonText(fleet.service)},"instance":${jsonText(fleet.instance)}` +
    `,"route":${jsonText(route.pattern)},"upstream":${jsonText(route.upstream)}` +
    (options.sample < 1 ? `,"sample":${options.sample}` : "");
  // What many lines in a row have in common is kept as text.
  const start = createStart(fixed);
  const result = createResult();
  const hostMember = keepLast((value) => `,"host":${host(value)}`);
  const clientMember = keepLast((value) => `,"clientIp":${clientIp(value)},"requestId":`);
  const credentialMember = keepLast((value) => `,"credentialId":${credentialId(value)}`);
  const agentMember = keepLast((value) => `,"userAgent":${userAgent(value)}`);

  return function accessLine(exchange, outcome, level, extra) {
    const { request, identity, trace } = exchange;
    const agent = request.fields.get("user-agent");
    let line =
      start(Math.round(exchange.startedAt + outcome.durationMs), level) +
      result(request.method, outcome) +
      hostMember(request.host) +
      clientMember(exchange.client.address) +
      `${jsonText(exchange.id)},"path":${path(request.path)},"durationMs":${decimals(outcome.durationMs)}` +
      `,"requestBytes":${outcome.requestBytes},"responseBytes":${outcome.responseBytes}` +
      `,"userId":${identity === undefined ? "null" : userId(identity.userId)}`;
    if (trace !== undefined) line += `,"traceId":"${trace.traceId}","spanId":"${trace.spanId}"`;
    if (identity?.credentialId !== undefined) line += credentialMember(identity.credentialId);
    if (agent !== undefined) line += agentMember(agent);
    if (options.query && request.query !== "") line += `,"query":${jsonText(redactQuery(request.query))}`;
    return `${line}${courseMembers(exchange, outcome)}${extra}}`;
  };
}

/** What became of the exchange, where there is something to say. */
function courseMembers(exchange: Exchange, outcome: Outcome): string {
  const { upgrade } = exchange.request;
  let members = "";
  if (upgrade !== undefined) members += `,"upgrade":${jsonText(upgrade)}`;
  if (outcome.grpcStatus !== undefined) members += `,"grpcStatus":${outcome.grpcStatus}`;
  if (outcome.requestMessages !== undefined)
    members += `,"requestMessages":${outcome.requestMessages},"responseMessages":${outcome.responseMessages ?? 0}`;
  if (outcome.upstreamMs !== undefined) members += `,"upstreamMs":${decimals(outcome.upstreamMs)}`;
  if (outcome.retries !== undefined) members += `,"retries":${outcome.retries}`;
  if (outcome.answeredBy !== undefined) members += `,"answeredBy":${jsonText(outcome.answeredBy)}`;
  if (exchange.cacheStatus !== undefined) members += `,"cacheStatus":${jsonText(exchange.cacheStatus)}`;
  if (exchange.score !== undefined) members += `,"score":${exchange.score}`;
  if (exchange.refusedBecause !== undefined)
    members += `,"refusedBecause":${jsonText(exchange.refusedBecause)}`;
  if (outcome.error !== undefined) members += errorMembers(outcome.error);
  return members;
}

/** Level and time, then what the route's lines all have. */
function createStart(fixed: string): (nowMs: number, level: number) => string {
  const isoTime = createIsoTime();
  let lastMs = Number.NaN;
  let lastLevel = 0;
  let text = "";
  return (nowMs, level) => {
    if (nowMs !== lastMs || level !== lastLevel) {
      lastMs = nowMs;
      lastLevel = level;
      text = inOnePiece(`{"level":${level},"time":${nowMs},"timestamp":"${isoTime(nowMs)}"${fixed}`);
    }
    return text;
  };
}

/** Method, status and end. */
function createResult(): (method: string, outcome: Outcome) => string {
  let lastMethod = "";
  let lastStatus = 0;
  let lastEnd = "";
  let text = "";
  return (method, { status, end }) => {
    if (method !== lastMethod || status !== lastStatus || end !== lastEnd) {
      lastMethod = method;
      lastStatus = status;
      lastEnd = end;
      text = inOnePiece(`,"method":${jsonText(method)},"status":${status},"end":"${end}"`);
    }
    return text;
  };
}

/** The error's code, and the system's code behind it; never messages, which may quote what they failed on. */
function errorMembers(error: GatewayError): string {
  const cause = error.cause;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return `,"error":"${error.code}"${typeof code === "string" ? `,"errorCause":${jsonText(code)}` : ""}`;
}
