// Keeps a request as it came, and how the policy in force served it. The candidate is asked about it afterwards.
import type { ClientAddress } from "../client/client-address.ts";
import type { ServerStream } from "../exchange/server-stream.ts";
import type { Identity, Outcome } from "../plugin-api/contract.ts";
import { MemoryStream } from "../policy-tests/memory-stream.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { LiveExchange } from "../runtime/exchange.ts";

/** The head of the request. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly httpVersion: string;
  readonly framing: ServerStream["framing"];
  readonly tls: ServerStream["tls"];
  readonly client: ClientAddress;
}

/** How the request was served. */
export interface Served {
  readonly requestId: string;
  readonly policy: RoutedPolicy;
  readonly route: LiveExchange["route"];
  readonly identity: Identity | undefined;
  readonly outcome: Outcome;
  /** Path and query that the service was asked for; the fields are those that it got. */
  readonly upstreamPath: string;
  readonly fields: readonly string[];
}

export function seenRequest(
  stream: Pick<ServerStream, "method" | "target" | "httpVersion" | "framing" | "tls" | "fields">,
  client: ClientAddress,
): SeenRequest {
  const { method, target, httpVersion, framing, tls } = stream;
  return { method, target, httpVersion, framing, tls, client, fields: [...stream.fields] };
}

export function servedAs(policy: RoutedPolicy, live: LiveExchange, outcome: Outcome): Served {
  const { id: requestId, route, identity, request } = live;
  return {
    requestId,
    policy,
    route,
    identity,
    outcome,
    upstreamPath: request.upstreamPath + request.query,
    fields: request.fields.toFlat(),
  };
}

/** The client side of a request that is over: nobody receives the answer. */
export class SeenStream extends MemoryStream {
  override readonly httpVersion: string;
  readonly framing: ServerStream["framing"];
  override readonly peer: string;
  override readonly tls: ServerStream["tls"];

  constructor(seen: SeenRequest) {
    super({ method: seen.method, target: seen.target, fields: seen.fields });
    this.httpVersion = seen.httpVersion;
    this.framing = seen.framing;
    this.peer = seen.client.peer;
    this.tls = seen.tls;
  }
}
