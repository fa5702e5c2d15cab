// The access-log line: one JSON document in pino's shape, put together as text. The members are an allow-list;
// whatever came from outside goes through `jsonText`.
import type {
  Clock,
  Exchange,
  Fleet,
  GatewayError,
  Outcome,
  RouteInfo,
} from "../../src/pipeline/contract.ts";
import type { LoggingOptions } from "./options.ts";
import { compileQueryRedaction, redacted, secretNames } from "./redact.ts";
import { createIsoTime, decimals, jsonText } from "./text.ts";

/** pino's numbers of the levels, and those at which nothing is left out or nothing is written. */
export const levelNumbers = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, silent: 100 } as const;

/** `error` for what the service or the sidecar did wrong, `warn` for what the client did, else `info`. */
export function levelOf(outcome: Outcome): number {
  if (outcome.status >= 500 || outcome.end === "failed" || outcome.end === "upstream-aborted") {
    return levelNumbers.error;
  }
  if (outcome.status >= 400 || outcome.end === "client-aborted") return levelNumbers.warn;
  return levelNumbers.info;
}

/**
 * Compiles the line of one route.
 * @returns a function that builds it; `extra` is text of further members, each with a comma before it
 */
export function compileLine(
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
  clock: Clock,
): (exchange: Exchange, outcome: Outcome, level: number, extra: string) => string {
  const secrets = secretNames(options.redact);
  const shown = (member: string): ((value: string) => string) =>
    secrets.has(member.toLowerCase()) ? () => `"${redacted}"` : jsonText;
  const path = shown("path");
  const host = shown("host");
  const clientIp = shown("clientIp");
  const userId = shown("userId");
  const credentialId = shown("credentialId");
  const userAgent = secrets.has("user-agent") ? () => `"${redacted}"` : shown("userAgent");
  const redactQuery = compileQueryRedaction(secrets);
  const isoTime = createIsoTime();
  const fixed =
    `,"msg":"request","service":${jsonText(fleet.service)},"instance":${jsonText(fleet.instance)}` +
    `,"route":${jsonText(route.pattern)},"upstream":${jsonText(route.upstream)}` +
    (options.sample < 1 ? `,"sample":${options.sample}` : "");

  return function accessLine(exchange, outcome, level, extra) {
    const { request, identity } = exchange;
    const now = clock.now();
    const agent = request.fields.get("user-agent");
    let line =
      `{"level":${level},"time":${now},"timestamp":"${isoTime(now)}"${fixed}` +
      `,"requestId":${jsonText(exchange.id)},"method":${jsonText(request.method)},"path":${path(request.path)}` +
      `,"status":${outcome.status},"durationMs":${decimals(outcome.durationMs)},"end":"${outcome.end}"` +
      `,"requestBytes":${outcome.requestBytes},"responseBytes":${outcome.responseBytes}` +
      `,"clientIp":${clientIp(exchange.client.address)},"host":${host(request.host)}` +
      `,"userId":${identity === undefined ? "null" : userId(identity.userId)}`;
    if (identity?.credentialId !== undefined)
      line += `,"credentialId":${credentialId(identity.credentialId)}`;
    if (agent !== undefined) line += `,"userAgent":${userAgent(agent)}`;
    if (options.query && request.query !== "") line += `,"query":${jsonText(redactQuery(request.query))}`;
    if (request.upgrade !== undefined) line += `,"upgrade":${jsonText(request.upgrade)}`;
    if (outcome.upstreamMs !== undefined) line += `,"upstreamMs":${decimals(outcome.upstreamMs)}`;
    if (outcome.answeredBy !== undefined) line += `,"answeredBy":${jsonText(outcome.answeredBy)}`;
    if (exchange.cacheStatus !== undefined) line += `,"cacheStatus":${jsonText(exchange.cacheStatus)}`;
    if (exchange.refusedBecause !== undefined) {
      line += `,"refusedBecause":${jsonText(exchange.refusedBecause)}`;
    }
    if (outcome.error !== undefined) line += errorMembers(outcome.error);
    return `${line}${extra}}`;
  };
}

/** The error's code, and the system's code behind it; never messages, which may quote what they failed on. */
function errorMembers(error: GatewayError): string {
  const cause = error.cause;
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return `,"error":"${error.code}"${typeof code === "string" ? `,"errorCause":${jsonText(code)}` : ""}`;
}
