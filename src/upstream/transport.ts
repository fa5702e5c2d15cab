// The narrow interface between the forward and the code that carries bytes to the service. One call is one exchange
// with the upstream. Everything is pushed, with backpressure and aborts in both directions.
import type { Socket } from "node:net";
import type { RequestToSend } from "../http1/head-writer.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Credentials } from "./renewed-credentials.ts";
import type { ProxyProtocol } from "./proxy-head.ts";

export type UpstreamProtocol = "http1" | "h2c" | "h2" | "auto";

export interface UpstreamTls {
  readonly ca?: string;
  readonly rejectUnauthorized: boolean;
  /** Replaces `ca`: includes the sidecar's own certificate, and is renewed while connections are made. */
  readonly credentials?: Credentials | undefined;
  /** The name that the certificate must have; absent = the host. */
  readonly servername?: string | undefined;
  /** The identity that the peer must have, whatever name was used to reach it. */
  readonly peer?: PeerCheck | undefined;
}

/** A check of the peer by something else than its host name. */
export interface PeerCheck {
  /** Part of the pool's key: targets with different checks share no connections. */
  readonly id: string;
  /** @param certificate in DER, of a verified chain @returns why it is not the expected peer's; undefined = it is */
  fault(certificate: Buffer): Error | undefined;
}

/** Where an upstream listens, parsed once when the policy is compiled. */
export interface UpstreamTarget {
  readonly tls: boolean;
  /** Host name or address; "localhost" for a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  /** The name whose certificate is expected if `host` is one address of that name. */
  readonly servername?: string | undefined;
  /** `host:port` or `unix:/path`, for logs, metrics and pools. */
  readonly name: string;
  /** In front of every path; absent = none. */
  readonly basePath?: string;
  /** The protocol; absent = HTTP/1.1. `h2` is over TLS, `h2c` in clear, `auto` uses HTTP/2 only for gRPC. */
  readonly protocol?: UpstreamProtocol | undefined;
  /**
   * Every connection begins with a head that names its client, and only carries requests of that client; absent = none.
   */
  readonly proxyProtocol?: ProxyProtocol | undefined;
  /** How its certificate is checked; used if `tls`. */
  readonly tlsOptions?: UpstreamTls;
}

/** A streamed body comes by `write` and `end`; the transport encodes its chunks. A body in memory is sent at once. */
export interface UpstreamRequest extends RequestToSend {
  /** The client whose share of the connections it takes; absent = no client's. */
  readonly client?: string | undefined;
  /** The client's address, for services that learn it from the connection; absent = the sidecar's own request. */
  readonly clientAddress?: string | undefined;
  /** Names of the endpoints that were tried, in order; absent = the request is sent only once. */
  readonly tried?: string[] | undefined;
  /** Longest wait for a connection. */
  readonly connectTimeoutMs: number;
  /** Longest wait for the response head once the request is out, and for every later gap between body chunks. */
  readonly timeoutMs: number;
}

/** Receives what comes back. Nothing follows `onEnd` or `onFail`; after `abort`, no method is called at all. */
export interface UpstreamHandler {
  /** An interim response (1xx except 101). 100 comes only if the request had `Expect: 100-continue`. */
  onInterim(status: number, fields: readonly string[]): void;
  /** The final head: field lines as received, hop-by-hop ones included. */
  onHead(status: number, statusText: string, fields: readonly string[]): void;
  /** @returns false to pause until `resume`; the receiver may keep the chunk. */
  onData(chunk: Buffer): boolean;
  /** The response is complete; trailers as name, value, … */
  onEnd(trailers: readonly string[]): void;
  /** Before the head: nothing was answered. After it: the body broke off and must not look complete. */
  onFail(error: GatewayError): void;
  /** The request body may continue after `write` returned false. */
  onDrain(): void;
  /** The request is about to be sent again, after a pause. @returns the fields for that; absent = unchanged */
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
  /** Gives the exchange up; its connection is closed unless the response was complete. No callback follows. */
  abort(): void;
}

/** A request for a connection of its own; its fields may decide which endpoint is used. */
export type OwnRequest = Pick<UpstreamRequest, "client" | "clientAddress" | "connectTimeoutMs"> &
  Partial<Pick<UpstreamRequest, "fields">>;

/** Takes a connection over. One of the two methods is called, once. */
export interface OwnConnectionHandler {
  /**
   * The connection is open, including TLS. Nothing reads it yet. Closing it frees its place.
   * @param answered to be told the status of the answer, or why there was none; absent = nobody counts that
   */
  onReady(socket: Socket, answered?: (how: number | GatewayError) => void): void;
  onFail(error: GatewayError): void;
}

/** The connections that the transport holds right now, for metrics and leak tests. */
export interface TransportCounts {
  readonly active: number;
  readonly idle: number;
  /** Exchanges that wait for a connection. */
  readonly queued: number;
  /** Connections that upgrades have taken over. */
  readonly upgraded: number;
}

/**
 * Carries exchanges to one upstream over a bounded pool of kept-alive connections. If the service had closed a kept
 * connection, the exchange is silently retried once where that is safe: no byte of an answer has come, the request is
 * idempotent or was not written, and its body can be sent again (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
 */
export interface UpstreamTransport {
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /**
   * Opens a connection for the caller alone; their number is limited. The handler is called later.
   * @returns a function that gives up; it has no effect once the handler was called
   */
  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void;
  counts(): TransportCounts;
  /** Whether another endpoint than the tried ones may be asked; absent = there is only one endpoint. */
  hasOther?(tried: readonly string[]): boolean;
  /** Closes idle connections now and the others after their exchange. */
  close(): void;
}
