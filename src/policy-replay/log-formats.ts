// Parses lines of the access log in each format of `OUTRIGGER_LOG_FORMAT`, into members with the names of `json`.
import { parseJson } from "../language/json.ts";
import { clfMembers } from "./clf-line.ts";

/** The members of a line, not trusted. */
export type Line = Readonly<Record<string, unknown>>;

/**
 * @returns undefined for a line of no known format. An OTLP line gives one member of the list for each record that it
 * holds.
 */
export function linesIn(text: string): readonly Line[] | undefined {
  if (!text.startsWith("{")) {
    const line = clfMembers(text);
    return line && [line];
  }
  let parsed: Line;
  try {
    parsed = Object(parseJson(text)) as Line;
  } catch {
    return undefined;
  }
  if (parsed["ecs.version"] !== undefined) return [ecsMembers(parsed)];
  return parsed["resourceLogs"] === undefined ? [parsed] : otelMembers(parsed["resourceLogs"]);
}

const ecsNames: Readonly<Record<string, string>> = {
  msg: "message",
  service: "service.name",
  requestId: "http.request.id",
  method: "http.request.method",
  status: "http.response.status_code",
  path: "url.path",
  clientIp: "client.address",
  userId: "user.id",
  credentialId: "outrigger.credential_id",
  userAgent: "user_agent.original",
  requestBytes: "http.request.body.bytes",
  requestHeaders: "outrigger.request_headers",
  route: "outrigger.route",
  upgrade: "outrigger.upgrade",
  answeredBy: "outrigger.answered_by",
  error: "error.code",
};

function ecsMembers(line: Line): Line {
  const named = Object.entries(ecsNames).map(([name, written]) => [name, line[written]]);
  const { "event.duration": nanoseconds, "@timestamp": endedAt } = line;
  return {
    ...(Object.fromEntries(named) as Line),
    ...absentStatus(line["http.response.status_code"]),
    time: typeof endedAt === "string" ? Date.parse(endedAt) : undefined,
    durationMs: typeof nanoseconds === "number" ? nanoseconds / 1_000_000 : undefined,
    host: hostOf(line["url.domain"], line["url.port"]),
    query: queryOf(line["url.query"]),
  };
}

const otelNames: Readonly<Record<string, string>> = {
  requestId: "outrigger.request_id",
  method: "http.request.method",
  status: "http.response.status_code",
  path: "url.path",
  clientIp: "client.address",
  userId: "user.id",
  credentialId: "outrigger.credential_id",
  userAgent: "user_agent.original",
  requestBytes: "http.request.body.size",
  durationMs: "outrigger.duration_ms",
  route: "http.route",
  upgrade: "outrigger.upgrade",
  answeredBy: "outrigger.answered_by",
  error: "error.type",
};

const listOf = (value: unknown): readonly Line[] =>
  Array.isArray(value) ? value.map((each) => Object(each) as Line) : [];

function otelMembers(resourceLogs: unknown): readonly Line[] {
  return listOf(resourceLogs).flatMap(({ resource, scopeLogs }) => {
    const service = attributesOf(Object(resource) as Line).get("service.name");
    const records = listOf(scopeLogs).flatMap(({ logRecords }) => listOf(logRecords));
    return records.map((record) => ({ ...otelRecord(record), service }));
  });
}

function otelRecord(record: Line): Line {
  const attributes = attributesOf(record);
  const named = Object.entries(otelNames).map(([name, written]) => [name, attributes.get(written)]);
  const fields = [...attributes].flatMap(([key, value]) =>
    key.startsWith(requestField) ? [[key.slice(requestField.length), value] as const] : [],
  );
  return {
    ...(Object.fromEntries(named) as Line),
    ...absentStatus(attributes.get("http.response.status_code")),
    msg: textOf(Object(record["body"]) as Line),
    time: millisecondsOf(record["timeUnixNano"]),
    host: hostOf(attributes.get("server.address"), attributes.get("server.port")),
    query: queryOf(attributes.get("url.query")),
    requestHeaders: Object.fromEntries(fields),
  };
}

const requestField = "http.request.header.";

function attributesOf({ attributes }: Line): ReadonlyMap<string, unknown> {
  return new Map(
    listOf(attributes).flatMap(({ key, value }) =>
      typeof key === "string" ? [[key, textOf(Object(value) as Line)] as const] : [],
    ),
  );
}

/** Reads an OTLP AnyValue of the kinds that lines have: a text, a number, or the only text of a list. */
function textOf({ stringValue, intValue, doubleValue, arrayValue }: Line): unknown {
  if (stringValue !== undefined) return stringValue;
  if (doubleValue !== undefined) return doubleValue;
  // OTLP's JSON writes 64-bit integers as text.
  if (intValue !== undefined) return typeof intValue === "string" ? Number(intValue) : intValue;
  const [only] = listOf((Object(arrayValue) as Line)["values"]);
  return only?.["stringValue"];
}

/** Converts nanoseconds to milliseconds; as one number they would exceed a double's precision. */
function millisecondsOf(nanoseconds: unknown): number | undefined {
  const digits = String(nanoseconds);
  return /^\d{7,20}$/.test(digits) ? Number(digits.slice(0, -6)) + Number(digits.slice(-6)) / 1e6 : undefined;
}

/** Both formats have no status when the client left before there was one. */
const absentStatus = (status: unknown): Line => (status === undefined ? { status: 0 } : {});

function hostOf(name: unknown, port: unknown): unknown {
  return typeof name === "string" && typeof port === "number" ? `${name}:${port}` : name;
}

const queryOf = (query: unknown): unknown => (typeof query === "string" ? `?${query}` : undefined);
