// Defines what plugins see of one exchange: request, client, route, response and outcome.
import type { Duplex } from "node:stream";
import type { GatewayError } from "./errors.ts";
import type { Fields } from "./fields.ts";

/** The caller, as the `auth` or `ext-auth` plugin established it. */
export interface Identity {
  readonly userId: string;
  /**
   * Who vouches for `userId`, unless it is the policy or the sidecar's own keys. The same id from two issuers means two
   * users.
   */
  readonly issuer?: string | undefined;
  readonly plan: string | undefined;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  /** How the caller authenticated: `api-key`, `jwt`, `introspection`, `session`, `certificate`, `ext-auth`. */
  readonly method: string;
  /** Id of the API key, the certificate or the token's issuer; for logs and limits. Never the credential itself. */
  readonly credentialId: string | undefined;
  /** Verified claims, for rules, limits and cache keys. An integer beyond 2^53 is text, never rounded. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** When the credential expires, in epoch milliseconds. An exchange that is still running then is ended. */
  readonly expiresAt?: number | undefined;
}

/**
 * The request as it will be forwarded. Plugins read it and may change `fields`; everything else is final before the
 * chain runs.
 */
export interface ExchangeRequest {
  readonly method: string;
  /** Normalised path (RFC 3986 section 6.2.2), the form that was matched and is forwarded. */
  readonly path: string;
  /** The path without the route's `stripPrefix`. */
  readonly strippedPath: string;
  /** The path that the service gets: `strippedPath` after the upstream's base path. Rules look at all three paths. */
  readonly upstreamPath: string;
  /** Query with its `?`, or "". */
  readonly query: string;
  /**
   * Query parameters that plugins of this route declared as their own (`Hooks.ownedQuery`), joined by `&`. They are not
   * in `query`.
   */
  readonly ownedQuery?: string | undefined;
  /**
   * Subprotocols that plugins of this route declared as their own (`Hooks.ownedSubprotocols`). They are not in
   * `fields`.
   */
  readonly ownedSubprotocols?: readonly string[] | undefined;
  /** Authority the client asked for (the Host field), lower case. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly httpVersion: "1.0" | "1.1" | "2.0";
  /** Fields that go to the service. Hop-by-hop fields and identity fields sent by the client are already removed. */
  readonly fields: Fields;
  /**
   * Cookies that plugins declared as their own (`Hooks.ownedCookies`), as `name=value; name=value`. They are not in
   * `fields`.
   */
  readonly ownedCookies?: string | undefined;
  /** Protocol of an `Upgrade` request, lower case; undefined for a plain request. */
  readonly upgrade: string | undefined;
  /** Whether a body was announced. */
  readonly hasBody: boolean;
}

/** TLS facts of the client's connection, when the listener terminates TLS. */
export interface ClientTls {
  /** The verified client certificate in DER; undefined when the client sent none. */
  readonly certificate: Buffer | undefined;
  /** With OUTRIGGER_SPIFFE_CERT: the SPIFFE id that this certificate proves, within the sidecar's own trust domain. */
  readonly svid?: { readonly id: string; readonly endsMs: number } | undefined;
}

export interface ExchangeClient {
  /**
   * The client's address by the trusted-proxy rule: without a zone; as IPv4 when it is an IPv4-mapped IPv6 address;
   * `unix` for a peer on a Unix socket.
   */
  readonly address: string;
  /** Address of the connection's direct peer. */
  readonly peer: string;
  /** Whether that peer is a trusted proxy. */
  readonly viaTrustedProxy: boolean;
  readonly tls: ClientTls | undefined;
}

/** What plugins see of the route that matched the exchange. */
export interface RouteInfo {
  /** The route's path as the policy has it: use it for labels, never the raw path. */
  readonly pattern: string;
  /** `host:port` or socket path of its upstream. */
  readonly upstream: string;
  /** Whether the service treats paths that differ only in case as the same path. */
  readonly caseInsensitive: boolean;
  /**
   * Names of fields and query parameters that carry credentials by the policy's options, spelled as in the policy. Do
   * not log their values.
   */
  readonly secretNames: ReadonlySet<string>;
  /** Request fields that plugins of the policy set, as `fieldKey` writes them. Complete once all routes are set up. */
  readonly ownedRequestFields?: ReadonlySet<string> | undefined;
  /** The prefix that is removed from the path before the request is forwarded. */
  readonly stripPrefix: string | undefined;
  /** Plugins that the shared policy locks, when a service's layer wrote the `stripPrefix`; else empty. */
  readonly strippedOver: readonly string[];
}

/** The exchange's ids in its trace (W3C Trace Context). */
export interface TraceIds {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Id of the exchange's own span: 16 hex digits. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/** One run of a plugin's hook. */
export interface HookTime {
  readonly plugin: string;
  readonly phase: string;
  readonly ms: number;
}

/** One request with its response. */
export interface Exchange {
  readonly id: string;
  readonly request: ExchangeRequest;
  readonly client: ExchangeClient;
  readonly route: RouteInfo;
  /** When the head had been read, in epoch milliseconds. */
  readonly startedAt: number;
  /** The same moment on the monotonic clock, milliseconds. */
  readonly startedMono: number;
  /**
   * Aborts when the client leaves or the running hook's time limit passes. Created on first access; read it inside the
   * hook.
   */
  readonly signal: AbortSignal;
  /** Absent when tracing is off (`OTEL_SDK_DISABLED`). */
  readonly trace?: TraceIds | undefined;
  /** Set by `auth` and `ext-auth`. */
  identity: Identity | undefined;
  /**
   * Set by `auth` and `ext-auth`: names of the fields that carry this route's credentials. Those that are still in
   * `request.fields` go to the service.
   */
  credentialFields: readonly string[];
  /** Set by `cache`: HIT, MISS, STALE or BYPASS. */
  cacheStatus: string | undefined;
  /**
   * Differs where different plugins or policies apply: it covers the plugins behind the running one that the policy
   * gives to some callers only, those that a kill switch has taken out, and the candidate policy, if one is on trial.
   * "" or absent = the policy's plugins, for everybody. Answers may differ by it, so a plugin that caches answers must
   * put it into the cache key.
   */
  readonly variant?: string;
  /** Set by `score`: the model's score for the request. */
  score?: number | undefined;
  /** Set by a plugin that put data of this caller or request into the response: no cache may keep it. */
  responseIsPersonal: boolean;
  /** Why the exchange was refused (such as the first failed condition). Only for the access log and metrics. */
  refusedBecause: string | undefined;
  /**
   * Records what a hook based its decision on, for `outrigger explain`: name, value, name, value … Operators read it:
   * record no secrets, and only facts about this request. A call costs next to nothing; record a few short facts in
   * each hook.
   */
  explain(...facts: readonly (string | number)[]): void;
  /**
   * The hooks that have run, in order, with their durations; absent when they are not recorded. The list is built on
   * each call.
   */
  hookTimes?(): readonly HookTime[];
  /** Data that plugins keep about the exchange, through `note`. Created on first access. */
  readonly notes: Map<symbol, unknown>;
  /**
   * Reads the whole request body, which is then forwarded from memory. Rejects with `payload_too_large` past the limit.
   * Call it only when needed: without it the body streams.
   */
  readBody(maxBytes: number): Promise<Buffer>;
  /** Sends this body in place of the one that `readBody` returned. */
  replaceBody(body: Buffer): void;
  /**
   * Sends one more request to this route's upstream, outside the exchange itself (a background refresh). It has its own
   * time limits and sends only the fields that it is given, none of the client's. When the calling hook answers, or has
   * answered, in place of the plugins behind it, their `onResponse` hooks run over the answer.
   */
  fetchUpstream(request: {
    method: string;
    path: string;
    query: string;
    fields: Fields;
    signal?: AbortSignal;
  }): Promise<UpstreamAnswer>;
}

/** Answer of `fetchUpstream`. The caller must consume or destroy the body. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly fields: Fields;
  /** Iterating rejects when the upstream breaks off. */
  readonly body: AsyncIterable<Buffer> & { destroy(): void };
  /** As `ExchangeResponse.failedOpen`; final once the body has been read. */
  readonly failedOpen?: boolean;
}

/** Watches the body on its way to the client and cannot delay it. Either `end` or `abort` is called, once. */
export interface BodyTap {
  chunk(bytes: Buffer): void;
  end(): void;
  abort(): void;
}

/** A response on its way to the client, before its first byte is sent. */
export interface ExchangeResponse {
  status: number;
  readonly fields: Fields;
  /**
   * Fields that follow the body (RFC 9110 section 6.5), when the framing allows trailers. The service's trailers arrive
   * with the end of its body: a tap's `end` is the first to see them, and the last that can change what the client
   * gets. Fields that must not be trailers (section 6.5.1) are left out.
   */
  readonly trailers: Fields;
  /** Whether the service or the sidecar (a plugin, an error) made the response. */
  readonly origin: "upstream" | "sidecar";
  /** The error that this response reports, when the sidecar made it for an error. */
  readonly error: GatewayError | undefined;
  /**
   * Whether a plugin behind the running one failed in this exchange and was passed over (`failMode: open`), as far as is
   * known yet: no cache may keep the response, which lacks that plugin's work. To be set by a plugin that lets one
   * response pass without its work.
   */
  failedOpen?: boolean;
  /**
   * Reads the whole body before the head is sent. Unless it is replaced, it is then sent unchanged. Call it only when
   * needed: without it the body streams.
   * @returns undefined when the body is longer than `maxBytes`, breaks off, or goes through a transform
   */
  readBody(maxBytes: number): Promise<Buffer | undefined>;
  /** Replaces the body; an upstream's body is then discarded. `Content-Length` is set to the new length. */
  replaceBody(body: string | Buffer): void;
  /** Watches the body as the client gets it. */
  tap(tap: BodyTap): void;
  /** Sends the body through a transform. The caller must fix validators and trailers that no longer hold. */
  through(transform: Duplex): void;
}

/** An answer that a hook gives in place of the upstream. */
export interface RespondVerdict {
  readonly action: "respond";
  readonly status: number;
  /** name, value, name, value … */
  readonly fields?: readonly string[];
  readonly body?: string | Buffer;
}
export interface RejectVerdict {
  readonly action: "reject";
  readonly error: GatewayError;
}
/** What a hook decides; nothing = continue. */
export type Verdict = RespondVerdict | RejectVerdict | undefined | void;

/** How an exchange ended. */
export interface Outcome {
  /** Status sent to the client; 0 when the client left before any was sent. */
  readonly status: number;
  readonly end: "complete" | "client-aborted" | "upstream-aborted" | "failed" | "revoked" | "shutdown";
  readonly durationMs: number;
  /** Wait for the upstream's response head, in milliseconds; undefined when the upstream was not asked. */
  readonly upstreamMs: number | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Status of a gRPC call; absent for other requests, or when the service did not send it. */
  readonly grpcStatus?: number | undefined;
  /** How often the request was retried; absent = never. */
  readonly retries?: number | undefined;
  /** gRPC messages, or WebSocket frames, from the client; absent when the exchange has neither. */
  readonly requestMessages?: number | undefined;
  readonly responseMessages?: number | undefined;
  /** Close code of a WebSocket (RFC 6455 section 7.4); 1005 = a close frame without a code, 1006 = no close frame. */
  readonly closeCode?: number | undefined;
  /** Who sent the close frame first. */
  readonly closedBy?: "client" | "service" | "sidecar" | undefined;
  /** The plugin that answered in place of the upstream. */
  readonly answeredBy: string | undefined;
  readonly error: GatewayError | undefined;
}
