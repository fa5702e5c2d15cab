// Writes the access-log line as `json`: one document in pino's shape, concatenated as text. The members are an
// allow-list; everything from outside goes through `jsonText`.
import type { Exchange, Fleet, GatewayError, Outcome, RouteInfo } from "../../src/plugin-api/contract.ts";
import { type AccessLine, type LineExtra, type PluginTimes, systemCodeOf } from "./members.ts";
import type { LoggingOptions } from "./options.ts";
import type { PickedFields, Redaction } from "./redact.ts";
import { createIsoTime, decimals, inOnePiece, jsonText, keepLast } from "./text.ts";

/** Compiles the line of one route. */
export function compileLine(
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
  redaction: Redaction,
): AccessLine {
  const fixed = inOnePiece(
    `,"msg":"request","service":${jsonText(fleet.service)},"instance":${jsonText(fleet.instance)}` +
      `,"route":${jsonText(route.pattern)},"upstream":${jsonText(route.upstream)}` +
      (options.sample < 1 ? `,"sample":${options.sample}` : ""),
  );
  const texts = textsOf(redaction);
  const queryOf = options.query ? redaction.query : undefined;
  return (exchange, outcome, level, extra) => lineOf(texts, fixed, queryOf, exchange, outcome, level, extra);
}

function lineOf(
  texts: Texts,
  fixed: string,
  queryOf: Redaction["query"] | undefined,
  exchange: Exchange,
  outcome: Outcome,
  level: number,
  extra: LineExtra | undefined,
): string {
  const { request, identity, trace } = exchange;
  const agent = request.fields.get("user-agent");
  let line =
    texts.start(Math.round(exchange.startedAt + outcome.durationMs), level) +
    fixed +
    texts.result(request.method, outcome) +
    texts.host(request.host) +
    texts.client(exchange.client.address) +
    `${jsonText(exchange.id)},"path":${texts.path(request.path)},"durationMs":${decimals(outcome.durationMs)}` +
    `,"requestBytes":${outcome.requestBytes},"responseBytes":${outcome.responseBytes}` +
    `,"userId":${identity === undefined ? "null" : texts.userId(identity.userId)}`;
  if (trace !== undefined) line += `,"traceId":"${trace.traceId}","spanId":"${trace.spanId}"`;
  if (identity?.credentialId !== undefined) line += texts.credential(identity.credentialId);
  if (agent !== undefined) line += texts.agent(agent);
  if (queryOf !== undefined && request.query !== "") line += `,"query":${jsonText(queryOf(request.query))}`;
  line += courseMembers(exchange, outcome);
  return extra === undefined ? `${line}}` : `${line}${extraMembers(extra)}}`;
}

type Texts = ReturnType<typeof compileTexts>;

const textsByRedaction = new WeakMap<Redaction, Texts>();

/** Cached across routes: each of thousands of routes is asked seldom, but consecutive lines have much in common. */
function textsOf(redaction: Redaction): Texts {
  let texts = textsByRedaction.get(redaction);
  if (texts === undefined) textsByRedaction.set(redaction, (texts = compileTexts(redaction)));
  return texts;
}

function compileTexts(redaction: Redaction) {
  const host = redaction.shown("host", jsonText);
  const clientIp = redaction.shown("clientIp", jsonText);
  const credentialId = redaction.shown("credentialId", jsonText);
  const userAgent = redaction.shown("userAgent", jsonText);
  return {
    start: createStart(),
    result: createResult(),
    path: redaction.shown("path", jsonText),
    userId: redaction.shown("userId", jsonText),
    host: keepLast((value) => `,"host":${host(value)}`),
    client: keepLast((value) => `,"clientIp":${clientIp(value)},"requestId":`),
    credential: keepLast((value) => `,"credentialId":${credentialId(value)}`),
    agent: keepLast((value) => `,"userAgent":${userAgent(value)}`),
  };
}

/** Members about the outcome that only some exchanges have. */
function courseMembers(exchange: Exchange, outcome: Outcome): string {
  const { upgrade } = exchange.request;
  let members = "";
  if (upgrade !== undefined) members += `,"upgrade":${jsonText(upgrade)}`;
  if (outcome.grpcStatus !== undefined) members += `,"grpcStatus":${outcome.grpcStatus}`;
  if (outcome.requestMessages !== undefined)
    members += `,"requestMessages":${outcome.requestMessages},"responseMessages":${outcome.responseMessages ?? 0}`;
  if (outcome.closeCode !== undefined) members += closeMembers(outcome);
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

/** Writes level and time; the text is kept while neither changes. */
function createStart(): (nowMs: number, level: number) => string {
  const isoTime = createIsoTime();
  let lastMs = Number.NaN;
  let lastLevel = 0;
  let text = "";
  return (nowMs, level) => {
    if (nowMs !== lastMs || level !== lastLevel) {
      lastMs = nowMs;
      lastLevel = level;
      text = inOnePiece(`{"level":${level},"time":${nowMs},"timestamp":"${isoTime(nowMs)}"`);
    }
    return text;
  };
}

/** Writes method, status and end; the text is kept while none changes. */
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

function errorMembers(error: GatewayError): string {
  const cause = systemCodeOf(error);
  return `,"error":"${error.code}"${cause === undefined ? "" : `,"errorCause":${jsonText(cause)}`}`;
}

function closeMembers({ closeCode, closedBy }: Outcome): string {
  return `,"closeCode":${closeCode}${closedBy === undefined ? "" : `,"closedBy":"${closedBy}"`}`;
}

function extraMembers({ requestHeaders = [], responseHeaders = [], pluginMs = [] }: LineExtra): string {
  return (
    objectMember("requestHeaders", requestHeaders) +
    objectMember("responseHeaders", responseHeaders) +
    objectMember("pluginMs", pluginMs)
  );
}

function objectMember(name: string, values: PickedFields | PluginTimes): string {
  if (values.length === 0) return "";
  const members = values.map(
    ([key, value]) => `${jsonText(key)}:${typeof value === "number" ? value : jsonText(value)}`,
  );
  return `,"${name}":{${members.join(",")}}`;
}
