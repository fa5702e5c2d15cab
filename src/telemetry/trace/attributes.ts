// Builds the attributes of spans, by OpenTelemetry's stable semantic conventions for HTTP (1.23 and later). No query,
// no header field but User-Agent, no user's name: others store the spans.
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import { isGrpcType } from "../../plugin-api/grpc-type.ts";
import type { Attributes } from "../otlp/attributes.ts";

type Pairs = (string | number | boolean)[];

const longest = 1_024;

export function requestAttributes(exchange: Exchange, outcome: Outcome): Attributes {
  const { request, client, route } = exchange;
  const list: Pairs = [
    "url.path",
    cut(request.path),
    "url.scheme",
    request.scheme,
    "http.route",
    route.pattern,
    "network.protocol.version",
    request.httpVersion === "2.0" ? "2" : request.httpVersion,
    "client.address",
    client.address,
    "network.peer.address",
    client.peer,
    "outrigger.request_id",
    exchange.id,
    "outrigger.end",
    outcome.end,
  ];
  addMethod(list, request.method);
  addAddress(list, request.host);
  if (outcome.status > 0) list.push("http.response.status_code", outcome.status);
  if (isGrpc(exchange)) addRpc(list, exchange, outcome);
  const agent = request.fields.get("user-agent");
  if (agent !== undefined) list.push("user_agent.original", cut(agent));
  const { cacheStatus, refusedBecause } = exchange;
  if (cacheStatus !== undefined) list.push("outrigger.cache", cacheStatus);
  if (refusedBecause !== undefined) list.push("outrigger.refused_because", cut(refusedBecause));
  if (outcome.answeredBy !== undefined) list.push("outrigger.answered_by", outcome.answeredBy);
  const type = errorType(outcome);
  if (type !== undefined) list.push("error.type", type);
  return list;
}

/**
 * @param outcome absent for a try that failed
 * @param protocol spoken to the service: `http1`, `h2c`, `h2`, or `auto`
 */
export function upstreamAttributes(
  exchange: Exchange,
  outcome: Outcome | undefined,
  protocol: string | undefined,
): Attributes {
  const { request, route } = exchange;
  const isCall = isGrpc(exchange);
  const isHttp2 = protocol === "h2" || protocol === "h2c" || (protocol === "auto" && isCall);
  const list: Pairs = [
    "url.path",
    cut(request.upstreamPath),
    "network.protocol.version",
    isHttp2 ? "2" : "1.1",
  ];
  addMethod(list, request.method);
  addAddress(list, route.upstream);
  if (isCall) addRpc(list, exchange, outcome);
  if (outcome === undefined) return list;
  const { upstreamMs, error, status } = outcome;
  // Without a response head the status is the sidecar's own.
  if (upstreamMs !== undefined && error === undefined) list.push("http.response.status_code", status);
  if (upstreamMs !== undefined) list.push("outrigger.upstream_wait_ms", upstreamMs);
  const type = serviceFailure(outcome);
  if (type !== undefined) list.push("error.type", type);
  return list;
}

/** For the calling side, the service's 4xx is an error too (conventions for HTTP clients). */
export function serviceFailure(outcome: Outcome): string | undefined {
  const { upstreamMs, error, status } = outcome;
  const type = errorType(outcome);
  if (type !== undefined) return type;
  return upstreamMs !== undefined && error === undefined && status >= 400 ? String(status) : undefined;
}

/**
 * @param resends how often the request had been sent before @param failure why this try failed: a status, or what broke
 */
export function resendAttributes(resends: number, failure: string | undefined): Attributes {
  return [
    ...(resends === 0 ? [] : ["http.request.resend_count", resends]),
    ...(failure === undefined ? [] : ["error.type", failure]),
  ];
}

function errorType({ error, status }: Outcome): string | undefined {
  if (error !== undefined) return error.code;
  return status >= 500 ? String(status) : undefined;
}

/** Methods that the conventions know. Others become `_OTHER`: clients could invent any number. */
const knownMethods = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "PATCH",
  "QUERY",
]);

/** The method's part of a span's name. */
export function methodName(method: string): string {
  return knownMethods.has(method) ? method : "HTTP";
}

function addMethod(list: Pairs, method: string): void {
  if (knownMethods.has(method)) list.push("http.request.method", method);
  else list.push("http.request.method", "_OTHER", "http.request.method_original", cut(method));
}

function isGrpc({ request }: Exchange): boolean {
  return isGrpcType(request.fields.get("content-type"));
}

/** Attributes of a gRPC call, whose path is `/package.Service/Method` (conventions for gRPC). */
function addRpc(list: Pairs, { request }: Exchange, outcome: Outcome | undefined): void {
  list.push("rpc.system", "grpc");
  const [, service, method, ...more] = request.upstreamPath.split("/", 4);
  if (service !== undefined && method !== undefined && more.length === 0)
    list.push("rpc.service", cut(service), "rpc.method", cut(method));
  if (outcome?.grpcStatus !== undefined) list.push("rpc.grpc.status_code", outcome.grpcStatus);
}

function addAddress(list: Pairs, authority: string): void {
  const [, host, port] = /^(.*?)(?::(\d{1,5}))?$/.exec(authority) ?? [];
  if (host !== undefined && host !== "") list.push("server.address", host);
  if (port !== undefined) list.push("server.port", Number(port));
}

const cut = (text: string): string => (text.length > longest ? text.slice(0, longest) : text);
