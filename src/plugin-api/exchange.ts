// What plugins see of one exchange: request, client, route, response, and what became of it.
import type { Duplex } from "node:stream";
import type { GatewayError } from "./errors.ts";
import type { Fields } from "./fields.ts";

/** Who is calling, as the auth plugin established it. */
export interface Identity {
  readonly userId: string;
  /** Who vouches for `userId`, where that is not the policy or our own keys: two issuers' users of one id are two. */
  readonly issuer?: string | undefined;
  readonly plan: string | undefined;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  /** How it was shown: `api-key`, `jwt`, `introspection`, `session`, `certificate`, `ext-auth`. */
  readonly method: string;
  /** Id of the API key, certificate or token's issuer; for logs and limits, never the credential. */
  readonly credentialId: string | undefined;
  /** Verified claims, for rules, limits and cache keys. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Epoch milliseconds at which the credential ends: an exchange that still goes on then is ended. */
  readonly expiresAt?: number | undefined;
}

/** The request as it will be forwarded. Plugins read it and change `fields`; the rest is settled before the chain runs. */
export interface ExchangeRequest {
  readonly method: string;
  /** Normalised path (RFC 3986 section 6.2.2), the form that was matched and is forwarded. */
  readonly path: string;
  /** The path without the route's `stripPrefix`. */
  readonly strippedPath: string;
  /** The path as the service gets it: the stripped one behind the upstream's base path. Rules look at all three. */
  readonly upstreamPath: string;
  /** Query with its `?`, or "". */
  readonly query: string;
  /** Parameters that plugins of this route declared their own (`Hooks.ownedQuery`), joined by `&`: they are not in `query`. */
  readonly ownedQuery?: string | undefined;
  /** Subprotocols likewise (`Hooks.ownedSubprotocols`): they are not in `fields`. */
  readonly ownedSubprotocols?: readonly string[] | undefined;
  /** Authority the client asked for (the Host field), lower case. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly httpVersion: "1.0" | "1.1" | "2.0";
  /** Fields towards the service; hop-by-hop and client-sent identity fields are gone already. */
  readonly fields: Fields;
  /** Cookies that plugins declared their own (`Hooks.ownedCookies`), as `name=value; name=value`: they are not in `fields`. */
  readonly ownedCookies?: string | undefined;
  /** Protocol of an `Upgrade` request, lower case; undefined for a plain request. */
  readonly upgrade: string | undefined;
  /** Whether a body was announced. */
  readonly hasBody: boolean;
}

/** TLS facts of the client's connection, when the listener terminates TLS. */
export interface ClientTls {
  /** The verified client certificate in DER; undefined when none was shown. */
  readonly certificate: Buffer | undefined;
  /** With OUTRIGGER_SPIFFE_CERT: the SPIFFE id that this certificate proves, of the sidecar's own trust domain. */
  readonly svid?: { readonly id: string; readonly endsMs: number } | undefined;
}

export interface ExchangeClient {
  /** The client's address by the trusted-proxy rule: without a zone, IPv4 where it is mapped into IPv6; `unix` for a unix peer. */
  readonly address: string;
  /** The peer of the connection itself. */
  readonly peer: string;
  /** Whether that peer is a trusted proxy. */
  readonly viaTrustedProxy: boolean;
  readonly tls: ClientTls | undefined;
}

/** The route an exchange was matched to, as far as plugins care. */
export interface RouteInfo {
  /** The route's path as the policy has it: use it for labels, never the raw path. */
  readonly pattern: string;
  /** `host:port` or socket path of its upstream. */
  readonly upstream: string;
  /** Whether the service takes paths that differ in case alone for the same one. */
  readonly caseInsensitive: boolean;
  /** Fields and query parameters that carry credentials by the policy's options, as it writes them: not to be logged. */
  readonly secretNames: ReadonlySet<string>;
  /** Request fields that plugins of the policy set, by `fieldKey`; complete once all routes are set up. */
  readonly ownedRequestFields?: ReadonlySet<string> | undefined;
  /** What is taken off the path before it is forwarded. */
  readonly stripPrefix: string | undefined;
  /** Plugins that the shared policy locks, where it was a service's layer that wrote the `stripPrefix`. */
  readonly strippedOver: readonly string[];
}

/** Where an exchange is in its trace (W3C Trace Context). */
export interface TraceIds {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Of the exchange's own span: 16 hex digits. */
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
  /** When the head had been read: epoch milliseconds. */
  readonly startedAt: number;
  /** The same moment on the monotonic clock, milliseconds. */
  readonly startedMono: number;
  /** Aborts when the client leaves or the running hook's time limit passes. Made when first read; read it inside the hook. */
  readonly signal: AbortSignal;
  /** Absent where nothing is traced (`OTEL_SDK_DISABLED`). */
  readonly trace?: TraceIds | undefined;
  /** Set by `auth` and `ext-auth`. */
  identity: Identity | undefined;
  /** Set by `auth` and `ext-auth`: names of the fields that carry credentials of this route's; those that are still there go to the service. */
  credentialFields: readonly string[];
  /** Set by `cache`: HIT, MISS, STALE or BYPASS. */
  cacheStatus: string | undefined;
  /**
   * Which of the plugins behind the running one run for this caller, where the policy gives them a part of the callers,
   * and which policy, where a candidate is tried; "" or absent = that of everybody. Answers may differ by it: who keeps
   * answers keeps them apart.
   */
  readonly variant?: string;
  /** Set by `score`: what the model made of the request. */
  score?: number | undefined;
  /** Set by a plugin that put something of this caller or request into the response: no cache may keep it. */
  responseIsPersonal: boolean;
  /** Why an exchange was refused, for the access log and metrics only (e.g. the first failed condition). */
  refusedBecause: string | undefined;
  /**
   * Says what a hook decided by, for `outrigger explain`: name, value, name, value … Operators read it: nothing secret,
   * nothing that is not about this request. Costs next to nothing; a few short ones each hook.
   */
  explain(...facts: readonly (string | number)[]): void;
  /** The hooks that have run, in their order, and how long; absent where nobody keeps that. Made when called. */
  hookTimes?(): readonly HookTime[];
  /** What plugins keep about it, by way of `note`. Made when first read. */
  readonly notes: Map<symbol, unknown>;
  /**
   * Reads the whole request body; it is then forwarded from memory. Rejects with `payload_too_large` past the limit.
   * Never call it without need: everything else streams.
   */
  readBody(maxBytes: number): Promise<Buffer>;
  /** Sends that in place of the body that `readBody` gave. */
  replaceBody(body: Buffer): void;
  /**
   * One more request to this route's upstream outside the exchange itself (a background refresh). Ends on its own
   * time limits; never takes fields of the client by itself. Of a hook that answers, or did, in place of the plugins behind
   * it, the answer is as these leave it by their `onResponse`.
   */
  fetchUpstream(request: {
    method: string;
    path: string;
    query: string;
    fields: Fields;
    signal?: AbortSignal;
  }): Promise<UpstreamAnswer>;
}

/** Answer of `fetchUpstream`; the body must be consumed or destroyed. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly fields: Fields;
  /** Rejects or throws when the upstream breaks off. */
  readonly body: AsyncIterable<Buffer> & { destroy(): void };
}

/** Watches the body on its way to the client; may not hold it up. Exactly one of `end` and `abort` is called. */
export interface BodyTap {
  chunk(bytes: Buffer): void;
  end(): void;
  abort(): void;
}

/** A response on its way to the client, before its first byte is out. */
export interface ExchangeResponse {
  status: number;
  readonly fields: Fields;
  /**
   * Fields that follow the body (RFC 9110 section 6.5), where its framing has room for any. The service's come with the
   * end of its body: a tap's `end` is the first to see them, and the last to change what the client gets. What must not
   * come so late (section 6.5.1) is left out.
   */
  readonly trailers: Fields;
  /** Whether the service or the sidecar (a plugin, an error) made it. */
  readonly origin: "upstream" | "sidecar";
  /** The error that this answer reports, when the sidecar made it for one. */
  readonly error: GatewayError | undefined;
  /**
   * Reads the whole body, before the head is out; unless it is replaced it is then sent as it came. Never call it without
   * need: everything else streams.
   * @returns undefined when it is longer, breaks off, or goes through a transform
   */
  readBody(maxBytes: number): Promise<Buffer | undefined>;
  /** Replaces the body; an upstream's body is then discarded. `Content-Length` is set to fit. */
  replaceBody(body: string | Buffer): void;
  /** Watches the body as the client gets it. */
  tap(tap: BodyTap): void;
  /** Sends the body through a transform; validators, and trailers, that no longer hold are the caller's to fix. */
  through(transform: Duplex): void;
}

/** An answer a hook gives in place of the upstream. */
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
/** Nothing = go on. */
export type Verdict = RespondVerdict | RejectVerdict | undefined | void;

/** What became of an exchange. */
export interface Outcome {
  /** Status sent to the client; 0 when it left before any was. */
  readonly status: number;
  readonly end: "complete" | "client-aborted" | "upstream-aborted" | "failed" | "revoked" | "shutdown";
  readonly durationMs: number;
  /** Wait for the upstream's response head; undefined when it was not asked. */
  readonly upstreamMs: number | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** What a call of gRPC ended with; absent where none was, or where it was not told. */
  readonly grpcStatus?: number | undefined;
  /** How often the service was asked again; absent = not at all. */
  readonly retries?: number | undefined;
  /** Messages of gRPC, or frames of a WebSocket, from the client; absent where there are none to count. */
  readonly requestMessages?: number | undefined;
  readonly responseMessages?: number | undefined;
  /** What a WebSocket was closed with (RFC 6455 section 7.4); 1005 = a close frame without a code, 1006 = none at all. */
  readonly closeCode?: number | undefined;
  /** Who sent that close frame first. */
  readonly closedBy?: "client" | "service" | "sidecar" | undefined;
  /** The plugin that answered in place of the upstream. */
  readonly answeredBy: string | undefined;
  readonly error: GatewayError | undefined;
}
