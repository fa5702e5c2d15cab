// Creates the metrics that are counted for every request, by route.
import type { Counter, Histogram, Metrics } from "../plugin-api/contract.ts";

export interface RequestCounters {
  readonly requests: (route: string, method: string, status: string) => Counter;
  readonly grpc: (...values: string[]) => Counter;
  readonly messages: (...values: string[]) => Counter;
  readonly seconds: (...values: string[]) => Histogram;
  readonly upstreamSeconds: (...values: string[]) => Histogram;
}

/** Methods with a series of their own: callers could otherwise fill the limit on series with three dozen methods. */
const shownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"]);

export function createRequestCounters(metrics: Metrics): RequestCounters {
  const requests = metrics.counter("outrigger_requests_total", "Requests by route, method and status", [
    "route",
    "method",
    "status",
  ]);
  return {
    requests: (route, method, status) => requests(route, shownMethods.has(method) ? method : "other", status),
    grpc: metrics.counter("outrigger_grpc_requests_total", "Calls of gRPC by route and status", [
      "route",
      "grpc_status",
    ]),
    messages: metrics.counter(
      "outrigger_stream_messages_total",
      "Messages of gRPC and frames of WebSockets by route: direction request is from clients, response from services",
      ["route", "direction"],
    ),
    seconds: metrics.histogram(
      "outrigger_request_duration_seconds",
      "From the request head to the last byte",
      ["route"],
    ),
    upstreamSeconds: metrics.histogram(
      "outrigger_upstream_duration_seconds",
      "From forwarding to the upstream's response head",
      ["route"],
    ),
  };
}
