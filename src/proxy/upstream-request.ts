// The request head as the service gets it: end-to-end fields, this hop's own, and the framing that fits the body.
import type { LiveExchange } from "../pipeline/exchange.ts";
import { addHop } from "./client-address.ts";
import type { ProxyLimits } from "./context.ts";
import type { RequestHead } from "./request-head.ts";
import type { ServedRoute } from "./routed-policy.ts";
import type { UpstreamRequest } from "./upstream/transport.ts";

/** Changes the exchange's fields for good: called once, when the chain is done with them. */
export function upstreamRequest(
  live: LiveExchange,
  head: RequestHead,
  route: ServedRoute,
  limits: ProxyLimits,
  body: UpstreamRequest["body"],
): UpstreamRequest {
  const { request, client } = live;
  const { fields } = request;
  addHop(fields, client, request);
  fields.set("X-Request-Id", live.id);
  if (request.host === "") fields.set("Host", route.target.name);
  if (Buffer.isBuffer(body)) fields.set("Content-Length", String(body.length));
  else if (head.body === "chunked") fields.append("Transfer-Encoding", "chunked");
  if (body !== "stream" || head.body !== "chunked") fields.delete("trailer");
  if (body !== "stream" || !head.expectsContinue) fields.delete("expect");
  if (request.upgrade !== undefined) {
    fields.append("Connection", "Upgrade");
    fields.append("Upgrade", request.upgrade);
  }
  return {
    method: request.method,
    target: head.path === "*" ? "*" : route.upstreamPath(request.path) + request.query,
    fields: fields.toFlat(),
    body,
    connectTimeoutMs: limits.upstreamConnectTimeoutMs,
    timeoutMs: route.timeoutMs,
  };
}
