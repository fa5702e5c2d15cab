// Writes lines by the Elastic Common Schema 8.11, with dotted names as ECS loggers write them. Members without a name
// in the schema go under `outrigger.`.
import { isIP } from "node:net";
import type { Fleet, RouteInfo } from "../../src/plugin-api/contract.ts";
import { type AccessLine, compileMembers, type Member } from "./members.ts";
import type { LoggingOptions } from "./options.ts";
import type { Redaction } from "./redact.ts";
import { levelNames } from "./level.ts";
import { createIsoTime, jsonText, createNames, partsOfHost } from "./text.ts";

const nameOf = createNames({
  method: "http.request.method",
  status: "http.response.status_code",
  requestId: "http.request.id",
  requestBytes: "http.request.body.bytes",
  responseBytes: "http.response.body.bytes",
  path: "url.path",
  clientIp: "client.address",
  userId: "user.id",
  userAgent: "user_agent.original",
  traceId: "trace.id",
  spanId: "span.id",
  error: "error.code",
});

export function compileEcsLine(
  options: LoggingOptions,
  route: RouteInfo,
  fleet: Fleet,
  redaction: Redaction,
): AccessLine {
  const membersOf = compileMembers(options, route, redaction);
  const isoTime = createIsoTime();
  const origin =
    `,"message":"request","ecs.version":"8.11.0"` +
    `,"service.name":${jsonText(fleet.service)},"service.node.name":${jsonText(fleet.instance)}` +
    `,"event.kind":"event","event.category":["web"],"event.type":["access"]`;
  return function ecsLine(exchange, outcome, level, extra) {
    const { scheme, httpVersion } = exchange.request;
    let line =
      `{"@timestamp":"${isoTime(Math.round(exchange.startedAt + outcome.durationMs))}"` +
      `,"log.level":"${levelNames[level] ?? "info"}"${origin}` +
      `,"event.outcome":"${level >= 50 ? "failure" : "success"}"` +
      `,"url.scheme":"${scheme}","http.version":"${httpVersion}"`;
    for (const member of membersOf(exchange, outcome, extra)) line += ecsMember(member);
    return `${line}}`;
  };
}

function ecsMember([name, value]: Member): string {
  // 0 = the client left before there was a status; the schema allows only HTTP statuses here.
  if (name === "status" && value === 0) return "";
  if (name === "host" && typeof value === "string") {
    const { host, port } = partsOfHost(value);
    return `,"url.domain":${jsonText(host)}${port === undefined ? "" : `,"url.port":${port}`}`;
  }
  // event.duration is in nanoseconds.
  if (name === "durationMs") return `,"event.duration":${Math.round((value as number) * 1_000_000)}`;
  // url.query excludes the question mark.
  if (name === "query") return `,"url.query":${jsonText(String(value).slice(1))}`;
  const member = `,"${nameOf(name)}":${ecsValue(value)}`;
  // client.ip has a type that accepts only addresses.
  return name === "clientIp" && isIP(String(value)) !== 0
    ? `${member},"client.ip":${jsonText(String(value))}`
    : member;
}

function ecsValue(value: Member[1]): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return jsonText(value);
  const members = value.map(
    ([name, one]) => `${jsonText(name)}:${typeof one === "number" ? one : jsonText(one)}`,
  );
  return `{${members.join(",")}}`;
}
