// The narrow interface between the forward and whatever carries bytes to the service. One call is one exchange with
// the upstream; everything is push, with back-pressure both ways and an abort both ways.
import type { Socket } from "node:net";
import type { RequestToSend } from "../http1/head-writer.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Credentials } from "./renewed-credentials.ts";
import type { ProxyProtocol } from "./proxy-head.ts";

export type UpstreamProtocol = "http1" | "h2c" | "h2" | "auto";

export interface UpstreamTls {
  readonly ca?: string;
  readonly rejectUnauthorized: boolean;
  /** In place of `ca`: with our own certificate, renewed while connections are made. */
  readonly credentials?: Credentials | undefined;
  /** What the certificate must be made out to; absent = the host. */
  readonly servername?: string | undefined;
  /** Who must be there, whatever name was called. */
  readonly peer?: PeerCheck | undefined;
}

/** By something else than a host's name. */
export interface PeerCheck {
  /** Pools are apart by it. */
  readonly id: string;
  /** @param certificate in DER, known to be vouched for @returns why it is not who must be there */
  fault(certificate: Buffer): Error | undefined;
}

/** Where an upstream listens, parsed once when the policy is compiled. */
export interface UpstreamTarget {
  readonly tls: boolean;
  /** Host name or address; "localhost" for a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  /** Whose certificate is expected, where `host` is one address of that name. */
  readonly servername?: string | undefined;
  /** `host:port` or `unix:/path`, for logs, metrics and pools. */
  readonly name: string;
  /** In front of every path; absent = none. */
  readonly basePath?: string;
  /** What it speaks; absent = HTTP/1.1. `h2` is over TLS, `h2c` in clear, `auto` HTTP/2 for gRPC alone. */
  readonly protocol?: UpstreamProtocol | undefined;
  /** Every connection begins with a head that names its client, and carries requests of that client alone; absent = none. */
  readonly proxyProtocol?: ProxyProtocol | undefined;
  /** How its certificate is checked, when `tls`. */
  readonly tlsOptions?: UpstreamTls;
}

/** A streamed body comes by `write` and `end`, and the transport encodes its chunks; bytes are sent at once. */
export interface UpstreamRequest extends RequestToSend {
  /** Whose share of the connections it takes; absent = nobody's. */
  readonly client?: string | undefined;
  /** Whose it is, for services that are told so by the connection; absent = the sidecar's own. */
  readonly clientAddress?: string | undefined;
  /** Names of the endpoints that it was sent to, in order; absent = it is sent once. */
  readonly tried?: string[] | undefined;
  /** Longest wait for a connection. */
  readonly connectTimeoutMs: number;
  /** Longest wait for the response head once the request is out, and for every later gap between body chunks. */
  readonly timeoutMs: number;
}

/** Told what comes back. After `onEnd` or `onFail` nothing follows; after `abort` nothing at all. */
export interface UpstreamHandler {
  /** An interim response (1xx but 101). 100 only when the request had `Expect: 100-continue`. */
  onInterim(status: number, fields: readonly string[]): void;
  /** The final head: field lines as received, hop-by-hop ones included. */
  onHead(status: number, statusText: string, fields: readonly string[]): void;
  /** @returns false to pause until `resume`; the chunk is the receiver's to keep. */
  onData(chunk: Buffer): boolean;
  /** The complete response is through; trailers as name, value, … */
  onEnd(trailers: readonly string[]): void;
  /** Before the head: nothing was answered. After it: the body broke off and must not look complete. */
  onFail(error: GatewayError): void;
  /** The request body may go on after `write` said false. */
  onDrain(): void;
  /** It is about to be sent once more, after a pause. @returns the request's fields for that; absent = as they were */
  onRetry?(reason: string, pausedMs: number): readonly string[];
  /** @returns whether that many bytes of its body may wait in memory until the exchange is over; absent = none */
  mayKeep?(bytes: number): boolean;
}

export interface UpstreamCall {
  /** @returns false = wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  /** Ends a streamed body; trailers only where it is chunked. */
  end(trailers?: readonly string[]): void;
  resume(): void;
  /** Gives the exchange up: its connection is closed unless the exchange was complete. No callback follows. */
  abort(): void;
}

/** Who asks for a connection of their own, and with which request: it may say which endpoint. */
export type OwnRequest = Pick<UpstreamRequest, "client" | "clientAddress" | "connectTimeoutMs"> &
  Partial<Pick<UpstreamRequest, "fields">>;

/** Who takes a connection over. One of the two is called, once. */
export interface OwnConnectionHandler {
  /** It is connected, and the TLS handshake through: nobody reads it yet, and its place is free when it is closed. */
  onReady(socket: Socket): void;
  onFail(error: GatewayError): void;
}

/** Connections the transport holds right now, for metrics and leak tests. */
export interface TransportCounts {
  readonly active: number;
  readonly idle: number;
  /** Exchanges that wait for a connection. */
  readonly queued: number;
  /** Connections that upgrades have taken over. */
  readonly upgraded: number;
}

/**
 * Carries exchanges to one upstream over kept-alive connections (a bounded pool). A kept connection that the service
 * had closed meanwhile costs one silent retry where that is safe: nothing of an answer has come, and the request is
 * idempotent or was not written, and its body can be sent again (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
 */
export interface UpstreamTransport {
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /**
   * Opens a connection that is the caller's alone; there are so many at most. The handler is told later.
   * @returns gives it up, as long as the handler has not been told
   */
  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void;
  counts(): TransportCounts;
  /** Whether there is an endpoint, of several, that is not among those; absent = there is one in all. */
  hasOther?(tried: readonly string[]): boolean;
  /** Closes idle connections now and the others after their exchange. */
  close(): void;
}
