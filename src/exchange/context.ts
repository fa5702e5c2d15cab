// What every exchange shares: limits, clock, and the parts of the proxy it calls. One object, made at start.
import type { Clock, Logger, Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { ExchangeRecorder, ExchangeTaps } from "../runtime/live-record.ts";
import type { ExchangeTracer } from "../runtime/live-trace.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { LiveResponse } from "../runtime/response.ts";
import type { ClientAddress } from "../client/client-address.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import type { IntrusiveItem } from "../v8/intrusive-set.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { RoutedPolicy, ServedRoute } from "../routing/routed-policy.ts";
import type { Messages } from "./messages.ts";
import type { ServerStream } from "./server-stream.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../upstream/transport.ts";

export interface ProxyLimits {
  readonly upstreamConnectTimeoutMs: number;
}

/** A request as the listener received it. */
export interface Inbound {
  readonly stream: ServerStream;
  /** As the connection gave it, where `stream` translates it. */
  readonly received?: ServerStream;
  readonly head: RequestHead;
  readonly client: ClientAddress;
}

/** The connections of an upgrade that was accepted. */
export interface RunningTunnel {
  /** Both ways, so far. */
  readonly moved: number;
  /** From the client. */
  readonly bytesUp: number;
  /** How a WebSocket that has ended did; undefined = it is none. */
  readonly closing: Required<Pick<Outcome, "closeCode" | "closedBy">> | undefined;
  /** The caller may not go on. */
  end(): void;
  /** The process is about to end. */
  goAway(): void;
}

/** An exchange as those see it that carry it to the upstream and back. */
export interface CarriedExchange extends UpstreamHandler, IntrusiveItem {
  readonly live: LiveExchange;
  readonly inbound: Inbound;
  readonly route: ServedRoute;
  /** The policy that let it in. */
  readonly policy: RoutedPolicy;
  /** Hands the exchange to its route's transport, as a request or as a tunnel. */
  openUpstream(): void;
  upstreamRequest(body: UpstreamRequest["body"]): UpstreamRequest;
  /** Keeps what gives the running upgrade handshake up. */
  holdCall(call: UpstreamCall): void;
  /** The upstream accepted the upgrade; `accept` is called once the response phase ran and left it a 101. */
  switching(statusText: string, fields: readonly string[], accept: (response: LiveResponse) => void): void;
  /** From here the client's connection belongs to the tunnel, which calls `finish`. */
  takenBy(tunnel: RunningTunnel): void;
  /** It may not go on: ends it as far as it has come. @param because for the access log */
  revoke(error: GatewayError, because: string): void;
  /** The process ends: breaks it off, so that the client cannot take what it has got for complete. */
  shutDown(): void;
  /** The process is about to end: what lasts as long as it likes is told so, where it has words for that. */
  goAway(): void;
  /** It may last as long as both sides like: nobody waits for its end. */
  readonly lastsLong: boolean;
  /** It is a stream to which the route's time limit between chunks does not apply, or that counts as one. */
  readonly isStream: boolean;
  /** Bytes of its bodies, or of its tunnel, both ways. */
  readonly moved: number;
  /** For whoever looks whether it is idle: `moved` when it last grew, and when that was. */
  movedBefore: number;
  movedMono: number;
  /** Counted where it has any: frames of a WebSocket, messages of gRPC. */
  messages: Messages | undefined;
  /** Tells the metrics of them. */
  tellMessages(): void;
  /** The tunnel is over. */
  finish(responseBytes: number): void;
}

export interface ProxyContext {
  readonly limits: ProxyLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clients: ClientLimits;
  /** Absent = nothing is traced. */
  readonly tracer?: ExchangeTracer | undefined;
  /** Absent = nothing is kept of what is over. */
  readonly recorder?: ExchangeRecorder | undefined;
  /** Absent = nobody can look on. */
  readonly taps?: ExchangeTaps | undefined;
  /** Hands the exchange over, to be carried to its upstream. */
  forward(exchange: CarriedExchange): void;
  /** Whether clients are told to go elsewhere for their next request. */
  draining(): boolean;
  began(exchange: CarriedExchange): void;
  ended(exchange: CarriedExchange, outcome: Outcome): void;
}
