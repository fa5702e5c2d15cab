// Builds the request head for the service: end-to-end fields, this hop's own fields, and framing that fits the body.
import type { LiveExchange } from "../runtime/exchange.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { Fields } from "../plugin-api/fields.ts";
import { addHop, shareOwner } from "../client/client-address.ts";
import type { Inbound, ProxyLimits } from "./context.ts";
import { isAlwaysHopByHop } from "../http1/hop-by-hop.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { ServedRoute } from "../routing/routed-policy.ts";
import type { UpstreamRequest } from "../upstream/transport.ts";

/** The part of an exchange that concerns its request. */
export interface Outgoing {
  readonly live: LiveExchange;
  readonly inbound: Pick<Inbound, "head">;
  readonly route: ServedRoute;
  readonly body: { readonly expectsContinue: boolean };
}

/**
 * Changes the exchange's fields in place: call it once, when the chain is done with them.
 * @throws GatewayError `internal_error` if a plugin named two hosts
 */
export function upstreamRequest(
  exchange: Outgoing,
  body: UpstreamRequest["body"],
  limits: ProxyLimits,
): UpstreamRequest {
  const { live, route } = exchange;
  const { request, client } = live;
  const { fields } = request;
  // Plugins may not change framing or the connection.
  fields.deleteWhere(isAlwaysHopByHop);
  setFraming(fields, exchange.inbound.head, body);
  setHost(fields, request.host === "" ? route.target.name : request.host);
  addHop(fields, client, request);
  const stripped = route.strippedOf(request.path, request.strippedPath);
  if (stripped !== undefined) {
    const before = fields.get("x-forwarded-prefix");
    fields.set("X-Forwarded-Prefix", before === undefined ? stripped : `${before}, ${stripped}`);
  }
  fields.set("X-Request-Id", live.id);
  if (body !== "stream" || !exchange.body.expectsContinue) fields.delete("expect");
  if (request.upgrade !== undefined) {
    fields.append("Connection", "Upgrade");
    fields.append("Upgrade", request.upgrade);
  }
  return {
    method: request.method,
    target: request.upstreamPath + request.query,
    fields: fields.toFlat(),
    body,
    client: shareOwner(client.address),
    clientAddress: client.address,
    connectTimeoutMs: limits.upstreamConnectTimeoutMs,
    timeoutMs: route.timeoutMs,
  };
}

/**
 * Decrements Max-Forwards, if present (RFC 9110 section 7.6.2).
 * @returns false = the request must not be forwarded
 */
export function countHop({ method, fields }: LiveExchange["request"]): boolean {
  // TRACE is refused earlier.
  if (method !== "OPTIONS") return true;
  const left = fields.get("max-forwards");
  if (left === undefined || !/^\d{1,9}$/.test(left)) return true;
  if (Number(left) > 0) fields.set("Max-Forwards", String(Number(left) - 1));
  return Number(left) > 0;
}

function setFraming(fields: Fields, head: RequestHead, body: UpstreamRequest["body"]): void {
  if (body === "none") {
    if (fields.has("content-length")) fields.set("Content-Length", "0");
  } else if (body !== "stream") fields.set("Content-Length", String(body.length));
  else if (head.body === "sized") fields.set("Content-Length", String(head.contentLength));
  else {
    fields.delete("content-length");
    fields.append("Transfer-Encoding", "chunked");
  }
  if (body !== "stream" || head.body !== "chunked") fields.delete("trailer");
}

function setHost(fields: Fields, host: string): void {
  const given = fields.get("host");
  if (given === undefined) fields.set("Host", host);
  else if (given.includes(",")) {
    const cause = new Error("a plugin made it a request for several hosts");
    throw new GatewayError("internal_error", "The request could not be forwarded.", { cause });
  }
}
