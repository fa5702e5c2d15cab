// Builds the exchange that the chain sees from a received request.
import { LiveExchange, type ExchangeIo } from "../runtime/exchange.ts";
import type { ClientAddress } from "../client/client-address.ts";
import type { Fields } from "../plugin-api/contract.ts";
import type { Inbound, ProxyContext } from "./context.ts";
import { newRequestId } from "./request-id.ts";
import type { ServedRoute } from "../routing/routed-policy.ts";

export function receivedExchange(
  { stream, head, client }: Inbound,
  route: ServedRoute,
  clock: ProxyContext["clock"],
  io: ExchangeIo,
): LiveExchange {
  const { tls } = stream;
  const strippedPath = route.strippedPath(head.path);
  const taken = route.ownedParts?.take(head.query, head.fields);
  return new LiveExchange({
    id: requestIdOf(head.fields),
    request: {
      method: head.method,
      path: head.path,
      strippedPath,
      upstreamPath: route.wirePath(strippedPath),
      query: taken?.query ?? head.query,
      ownedQuery: taken?.ownedQuery,
      ownedSubprotocols: taken?.ownedSubprotocols,
      host: head.host,
      scheme: schemeOf(client, head.fields, tls !== undefined),
      httpVersion: stream.httpVersion === "1.1" || stream.httpVersion === "2.0" ? stream.httpVersion : "1.0",
      fields: head.fields,
      ownedCookies: head.ownedCookies,
      upgrade: stream.upgrades ? head.upgrade : undefined,
      hasBody: head.body !== "none",
    },
    client: { ...client, tls },
    route: route.info,
    startedAt: clock.now(),
    startedMono: clock.mono(),
    io,
  });
}

const validRequestId = /^[A-Za-z0-9._~:@/+=-]{1,128}$/;

/** The client's X-Request-Id if it is safe for logs and fields, else a new one. */
function requestIdOf(fields: Fields): string {
  const given = fields.get("x-request-id");
  return given !== undefined && validRequestId.test(given) ? given : newRequestId();
}

function schemeOf(client: ClientAddress, fields: Fields, isSecure: boolean): "http" | "https" {
  if (client.toldScheme !== undefined) return client.toldScheme;
  if (client.viaTrustedProxy) {
    const told = fields.get("x-forwarded-proto")?.toLowerCase();
    if (told === "https" || told === "http") return told;
  }
  return isSecure ? "https" : "http";
}
