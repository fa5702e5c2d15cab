// Declares what every exchange shares: limits, clock, and the proxy's parts that it calls. One object, made at start.
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
  /** The original stream, if `stream` translates it. */
  readonly received?: ServerStream;
  readonly head: RequestHead;
  readonly client: ClientAddress;
}

/** The connections of an accepted upgrade. */
export interface RunningTunnel {
  /** Bytes in both directions so far. */
  readonly moved: number;
  /** Bytes from the client. */
  readonly bytesUp: number;
  /** How a WebSocket ended; undefined = it has not ended, or it is no WebSocket. */
  readonly closing: Required<Pick<Outcome, "closeCode" | "closedBy">> | undefined;
  /** The caller may not continue. */
  end(): void;
  /** The process is about to end. */
  goAway(): void;
}

/** An exchange as seen by the code that carries it to the upstream and back. */
export interface CarriedExchange extends UpstreamHandler, IntrusiveItem {
  readonly live: LiveExchange;
  readonly inbound: Inbound;
  readonly route: ServedRoute;
  /** The policy that admitted the exchange. */
  readonly policy: RoutedPolicy;
  /** Hands the exchange to its route's transport, as a request or as a tunnel. */
  openUpstream(): void;
  upstreamRequest(body: UpstreamRequest["body"]): UpstreamRequest;
  /** Stores the call of a running upgrade handshake, so that it can be aborted. */
  holdCall(call: UpstreamCall): void;
  /** The upstream accepted the upgrade. `accept` is called if the response phase leaves it a 101. */
  switching(statusText: string, fields: readonly string[], accept: (response: LiveResponse) => void): void;
  /** From now on, the client's connection belongs to the tunnel, which calls `finish`. */
  takenBy(tunnel: RunningTunnel): void;
  /** Access was withdrawn: ends the exchange in whatever way its state allows. @param because for the access log */
  revoke(error: GatewayError, because: string): void;
  /** The process ends: breaks the exchange off, so that the client cannot take a partial answer for a complete one. */
  shutDown(): void;
  /** The process is about to end: tells long-lived exchanges so, if their protocol allows it. */
  goAway(): void;
  /** The exchange may last as long as both sides like: a drain does not wait for it. */
  readonly lastsLong: boolean;
  /** The exchange is a stream: the route's time limit between chunks does not apply, or it counts as a stream. */
  readonly isStream: boolean;
  /** Bytes of its bodies or its tunnel, in both directions. */
  readonly moved: number;
  /** For idle detection: the value of `moved` when it last grew, and the time of that. */
  movedBefore: number;
  movedMono: number;
  /** Counters for WebSocket frames or gRPC messages; undefined = none are counted. */
  messages: Messages | undefined;
  /** Reports the counted messages to the metrics. */
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
  /** Absent = finished exchanges are not recorded. */
  readonly recorder?: ExchangeRecorder | undefined;
  /** Absent = exchanges cannot be watched. */
  readonly taps?: ExchangeTaps | undefined;
  /** Hands the exchange over, to be carried to its upstream. */
  forward(exchange: CarriedExchange): void;
  /** Whether clients are told to use another connection for their next request. */
  draining(): boolean;
  began(exchange: CarriedExchange): void;
  ended(exchange: CarriedExchange, outcome: Outcome): void;
}
