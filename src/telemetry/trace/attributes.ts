// What spans say of an exchange, by the stable semantic conventions for HTTP of OpenTelemetry (1.23 and later). No query,
// no header field, nobody's name: what a span says, others store.
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import type { Attributes } from "./span.ts";

const longest = 1_024;

export function requestAttributes(exchange: Exchange, outcome: Outcome): Attributes {
  const { request, client, route } = exchange;
  const list: (string | number | boolean)[] = [
    "http.request.method",
    request.method,
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
  addAddress(list, request.host);
  if (outcome.status > 0) list.push("http.response.status_code", outcome.status);
  if (outcome.grpcStatus !== undefined) list.push("rpc.grpc.status_code", outcome.grpcStatus);
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

/** @param outcome absent = that try failed */
export function upstreamAttributes(exchange: Exchange, outcome: Outcome | undefined): Attributes {
  const { request, route } = exchange;
  const list: (string | number | boolean)[] = [
    "http.request.method",
    request.method,
    "url.path",
    cut(request.upstreamPath),
  ];
  addAddress(list, route.upstream);
  if (outcome === undefined) return list;
  const { upstreamMs, error, status } = outcome;
  // Without a response head the status is our own.
  if (upstreamMs !== undefined && error === undefined) list.push("http.response.status_code", status);
  if (upstreamMs !== undefined) list.push("outrigger.upstream_wait_ms", upstreamMs);
  const type = errorType(outcome);
  if (type !== undefined) list.push("error.type", type);
  return list;
}

/** @param resends how often the request had been sent before @param failure why it was sent again after that */
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

function addAddress(list: (string | number | boolean)[], authority: string): void {
  const [, host, port] = /^(.*?)(?::(\d{1,5}))?$/.exec(authority) ?? [];
  if (host !== undefined && host !== "") list.push("server.address", host);
  if (port !== undefined) list.push("server.port", Number(port));
}

const cut = (text: string): string => (text.length > longest ? text.slice(0, longest) : text);
