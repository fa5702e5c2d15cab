// A received request as the chain sees it.
import { LiveExchange, type ExchangeIo } from "../runtime/exchange.ts";
import { clientTlsOf, requestIdOf, schemeOf, type Inbound, type ProxyContext } from "./context.ts";
import type { ServedRoute } from "../routing/routed-policy.ts";

export function receivedExchange(
  { message, head, client, upgrade }: Inbound,
  route: ServedRoute,
  clock: ProxyContext["clock"],
  io: ExchangeIo,
): LiveExchange {
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
      scheme: schemeOf(message, client, head.fields),
      httpVersion: message.httpVersionMinor === 0 ? "1.0" : "1.1",
      fields: head.fields,
      ownedCookies: head.ownedCookies,
      upgrade: upgrade === undefined ? undefined : head.upgrade,
      hasBody: head.body !== "none",
    },
    client: { ...client, tls: clientTlsOf(message) },
    route: route.info,
    startedAt: clock.now(),
    startedMono: clock.mono(),
    io,
  });
}
