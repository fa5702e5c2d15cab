// Turns a line of the access log into a request that can be replayed, with the decision of that time.
import type { Line } from "./log-formats.ts";

export interface RecordedRequest {
  readonly id: string;
  readonly service: string;
  /** Time at which its head was complete: epoch milliseconds. */
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  /** undefined = the line does not say. */
  readonly query: string | undefined;
  /** undefined = the line does not say. */
  readonly host: string | undefined;
  readonly client: string;
  readonly userId: string | undefined;
  readonly credentialId: string | undefined;
  /** The fields in the line, without the redacted ones. */
  readonly fields: ReadonlyMap<string, string>;
  readonly hasBody: boolean;
  readonly decision: RecordedDecision;
}

/** A sidecar's decision about a request, as far as the policy determines it. */
export interface Decision {
  /** Path of the route; null = no route took the request. */
  readonly route: string | null;
  /**
   * The plugin that answered; `sidecar` if the sidecar itself did; null = the service was asked, or the cache instead.
   */
  readonly by: string | null;
  /** Status of a plugin's or the sidecar's answer; meaningless if the service answered. */
  readonly status: number;
}

/** The decision, or only its status if the line says no more. */
export type RecordedDecision =
  | Decision
  | { readonly route: undefined; readonly by: undefined; readonly status: number };

/** Why a line is not replayed. */
export type Unfit =
  | "no access-log line"
  | "it names no service: --service says which"
  | "it lacks what a request needs, or that is redacted"
  | "an upgrade"
  | "nobody waited for its answer"
  | "refused for want of resources, not by the policy";

/** Errors that depend on circumstances: at another time the same policy might have answered differently. */
const circumstances = new Set([
  "dependency_unavailable",
  "draining",
  "internal_error",
  "not_ready",
  "overloaded",
  "plugin_failed",
  "request_timeout",
]);
/** Whether the service counts as asked when this error is answered. */
const isUpstreams = (code: string): boolean => code.startsWith("upstream_") || code === "proxy_loop";

/** Whether an answer with this error code depends on circumstances. */
export const isCircumstance = (code: string | undefined): boolean =>
  code !== undefined && circumstances.has(code);

/** @param answeredBy as in the log @param code code of the error that was answered */
export function decisionOf(
  route: string,
  status: number,
  answeredBy: string | undefined,
  code: string | undefined,
): Decision {
  const own = code !== undefined && !isUpstreams(code) ? "sidecar" : null;
  const by = answeredBy === "cache" ? null : (answeredBy ?? own);
  return { route: route === "" ? null : route, by, status };
}

const redacted = "[redacted]";
/** The log cuts longer texts. */
const cutAt = 2_048;
/** The limit of a Date: the report shows from when to when the lines are. */
const latestMs = 8.64e15;

function textIn(line: Line, name: string): string | undefined {
  const value = line[name];
  return typeof value === "string" && value !== redacted && value.length < cutAt ? value : undefined;
}

/**
 * @returns the time at which the head was complete; undefined for an invalid time, since JSON numbers may exceed a
 * double's range
 */
function timeIn({ time, durationMs }: Line): number | undefined {
  if (typeof time !== "number") return undefined;
  const atMs = time - (typeof durationMs === "number" ? durationMs : 0);
  return Math.abs(atMs) <= latestMs ? atMs : undefined;
}

/** 0 = the client left before. */
const isStatus = (status: unknown): status is number =>
  typeof status === "number" && Number.isInteger(status) && (status === 0 || (status >= 100 && status < 600));

/** @param assumed the service of lines whose format names none */
export function recordedRequest(line: Line, assumed?: string): RecordedRequest | Unfit {
  const { status, tellsCourse = true } = line;
  if (line["msg"] !== "request" || !isStatus(status)) return "no access-log line";
  if (line["upgrade"] !== undefined || status === 101) return "an upgrade";
  if (status === 0) return "nobody waited for its answer";
  const code = textIn(line, "error");
  if (isCircumstance(code)) return "refused for want of resources, not by the policy";
  const service = textIn(line, "service") ?? (tellsCourse === false ? assumed : undefined);
  if (service === undefined && tellsCourse === false) return "it names no service: --service says which";
  const [method, path, client] = ["method", "path", "clientIp"].map((name) => textIn(line, name));
  const atMs = timeIn(line);
  const isWhole = [service, method, path, client].every((text) => text !== undefined);
  if (!isWhole || atMs === undefined) return "it lacks what a request needs, or that is redacted";
  const route = textIn(line, "route") ?? "";
  return {
    id: textIn(line, "requestId") ?? "",
    service: service as string,
    atMs,
    method: method as string,
    path: path as string,
    query: wholeQuery(textIn(line, "query")),
    host: textIn(line, "host"),
    client: client as string,
    userId: textIn(line, "userId"),
    credentialId: textIn(line, "credentialId"),
    fields: fieldsOf(line),
    hasBody: typeof line["requestBytes"] === "number" && line["requestBytes"] > 0,
    decision:
      tellsCourse === false
        ? { route: undefined, by: undefined, status }
        : decisionOf(route, status, textIn(line, "answeredBy"), code),
  };
}

const wholeQuery = (query: string | undefined): string | undefined =>
  query?.includes(redacted) === true ? undefined : query;

function fieldsOf(line: Line): Map<string, string> {
  const fields = new Map<string, string>();
  const logged = Object(line["requestHeaders"]) as Line;
  for (const name of Object.keys(logged)) {
    const value = textIn(logged, name);
    if (value !== undefined) fields.set(name.toLowerCase(), value);
  }
  const userAgent = textIn(line, "userAgent");
  if (userAgent !== undefined) fields.set("user-agent", userAgent);
  return fields;
}
