// What every exchange shares: limits, clock, and the parts of the proxy it calls. One object, made at start.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { randomUUID } from "node:crypto";
import type { ClientTls, Clock, Fields, Logger } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { LiveResponse } from "../runtime/response.ts";
import type { Socket } from "node:net";
import type { ClientAddress } from "../client/client-address.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import type { Placed } from "../v8/in-flight.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { RoutedPolicy, ServedRoute } from "../routing/routed-policy.ts";
import type { UpgradeSide } from "./upgrade-side.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../upstream/transport.ts";

export interface ProxyLimits {
  readonly upstreamConnectTimeoutMs: number;
}

/** A request as the listener received it. */
export interface Inbound {
  readonly message: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly client: ClientAddress;
  readonly upgrade: UpgradeSide | undefined;
}

/** The connections of an upgrade that was accepted. */
export interface RunningTunnel {
  /** The caller may not go on. */
  end(): void;
  /** The process is about to end. */
  goAway(): void;
}

/** An exchange as those see it that carry it to the upstream and back. */
export interface CarriedExchange extends UpstreamHandler, Placed {
  readonly live: LiveExchange;
  readonly inbound: Inbound;
  readonly route: ServedRoute;
  /** The policy that let it in. */
  readonly policy: RoutedPolicy;
  /** Hands the exchange to its route's transport. */
  openUpstream(): void;
  upstreamRequest(body: UpstreamRequest["body"]): UpstreamRequest;
  /** Keeps what gives the running upgrade handshake up. */
  holdCall(call: UpstreamCall): void;
  /** The upstream accepted the upgrade; `accept` is called once the response phase ran and left it a 101. */
  switching(statusText: string, fields: readonly string[], accept: (response: LiveResponse) => void): void;
  /** From here the client's connection belongs to the tunnel, which calls `finish`. */
  takeSocket(side: UpgradeSide, tunnel: RunningTunnel): void;
  /** It may not go on: ends it as far as it has come. @param because for the access log */
  revoke(error: GatewayError, because: string): void;
  /** The parser gave the rest of the request up. @returns whether the client hears of it; else nothing was done */
  requestBroken(error: GatewayError): boolean;
  /** The client has ended its side of the connection, or left. */
  clientEnded(): void;
  /** Of an upgrade that was accepted. */
  readonly tunnel: RunningTunnel | undefined;
  /** The tunnel is over. */
  finish(responseBytes: number): void;
}

export interface ProxyContext {
  readonly limits: ProxyLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly clients: ClientLimits;
  /** Hands the exchange to http-proxy-3. */
  forward(exchange: CarriedExchange): void;
  /** Whether clients are told to go elsewhere for their next request. */
  draining(): boolean;
  began(exchange: CarriedExchange): void;
  ended(exchange: CarriedExchange): void;
}

/** A response that knows its exchange. A property: a map of them would cost every request a new entry. */
interface Carrying {
  carriedExchange?: CarriedExchange;
}

export function noteExchange(res: ServerResponse & Carrying, exchange: CarriedExchange): void {
  res.carriedExchange = exchange;
}

/** The exchange that the connection carries now. `_httpMessage` is not public, but there since Node 0.x. */
export function exchangeOn(socket: Socket & { _httpMessage?: Carrying | null }): CarriedExchange | undefined {
  return socket._httpMessage?.carriedExchange;
}

const validRequestId = /^[A-Za-z0-9._~:@/+=-]{1,128}$/;

/** The client's X-Request-Id when it is fit for logs and fields, else a new one. */
export function requestIdOf(fields: Fields): string {
  const given = fields.get("x-request-id");
  return given !== undefined && validRequestId.test(given) ? given : randomUUID();
}

export function schemeOf(message: IncomingMessage, client: ClientAddress, fields: Fields): "http" | "https" {
  if (client.toldScheme !== undefined) return client.toldScheme;
  if (client.viaTrustedProxy) {
    const told = fields.get("x-forwarded-proto")?.toLowerCase();
    if (told === "https" || told === "http") return told;
  }
  return "encrypted" in message.socket ? "https" : "http";
}

// One handshake, many requests: the certificate is unpacked once a connection.
const certificates = new WeakMap<TLSSocket, ClientTls>();

/** The verified client certificate of a TLS listener; one that did not verify counts as none. */
export function clientTlsOf(message: IncomingMessage): ClientTls | undefined {
  if (!("encrypted" in message.socket)) return undefined;
  const socket = message.socket as TLSSocket;
  let tls = certificates.get(socket);
  if (tls === undefined) {
    tls = { certificate: socket.authorized ? socket.getPeerX509Certificate()?.raw : undefined };
    certificates.set(socket, tls);
  }
  return tls;
}
