// The plugin contract: everything a plugin may import. A plugin is a definition (`definePlugin`) whose `setup` runs
// once per route and snapshot and returns the hooks it has. See plugins/README.md.
import type { Duplex } from "node:stream";
import type { z } from "zod";
import type { Fields } from "./fields.ts";
import type { GatewayError } from "./errors.ts";
import type { Clock, Services } from "./services.ts";

export { isClosedAddress } from "../closed-addresses.ts";
export { fieldKey } from "./field-names.ts";
export { Fields } from "./fields.ts";
export { GatewayError, errorKinds, type ErrorCode } from "./errors.ts";
export * from "./services.ts";

/** Who is calling, as the auth plugin established it. */
export interface Identity {
  readonly userId: string;
  /** Who vouches for `userId`, where that is not the policy or our own keys: two issuers' users of one id are two. */
  readonly issuer?: string | undefined;
  readonly plan: string | undefined;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  /** How it was shown: `api-key`, `jwt`, `introspection`, `session`, `certificate`. */
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
  /** The path as the service gets it: without the route's `stripPrefix`. Rules look at both. */
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
  readonly httpVersion: "1.0" | "1.1";
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
  /** What is taken off the path before it is forwarded. */
  readonly stripPrefix: string | undefined;
  /** Plugins that the shared policy locks, where it was a service's layer that wrote the `stripPrefix`. */
  readonly strippedOver: readonly string[];
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
  /** Set by `auth`. */
  identity: Identity | undefined;
  /** Set by `cache`: HIT, MISS, STALE or BYPASS. */
  cacheStatus: string | undefined;
  /** Set by a plugin that put something of this caller or request into the response: no cache may keep it. */
  responseIsPersonal: boolean;
  /** Why an exchange was refused, for the access log and metrics only (e.g. the first failed condition). */
  refusedBecause: string | undefined;
  /** Facts of third-party plugins, keyed by plugin name. Made when first read. */
  readonly notes: Map<string, unknown>;
  /**
   * Reads the whole request body; it is then forwarded from memory. Rejects with `payload_too_large` past the limit.
   * Never call it without need: everything else streams.
   */
  readBody(maxBytes: number): Promise<Buffer>;
  /**
   * One more request to this route's upstream outside the exchange itself (a background refresh). Ends on its own
   * time limits; never takes fields of the client by itself.
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
  /** Whether the service or the sidecar (a plugin, an error) made it. */
  readonly origin: "upstream" | "sidecar";
  /** The error that this answer reports, when the sidecar made it for one. */
  readonly error: GatewayError | undefined;
  /** Replaces the body; an upstream's body is then discarded. `Content-Length` is set to fit. */
  replaceBody(body: string | Buffer): void;
  /** Watches the body as the client gets it. */
  tap(tap: BodyTap): void;
  /** Sends the body through a transform; `Content-Length` and validators that no longer hold are the caller's to fix. */
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
  readonly end: "complete" | "client-aborted" | "upstream-aborted" | "failed" | "revoked";
  readonly durationMs: number;
  /** Wait for the upstream's response head; undefined when it was not asked. */
  readonly upstreamMs: number | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** The plugin that answered in place of the upstream. */
  readonly answeredBy: string | undefined;
  readonly error: GatewayError | undefined;
}

/** A cookie that a plugin keeps for itself. */
export interface OwnedCookie {
  readonly name: string;
  /** `Set-Cookie` value that ends it, sent along where a client's head is too large (431); absent = it stays. */
  readonly expiry?: string;
  /** A service may set it; only what clients send is taken. */
  readonly fromService?: true;
}

type MaybePromise<T> = T | Promise<T>;

/** The hooks a plugin has on one route. A plain return costs no microtask; a promise ends within the hook's time limit. */
export interface Hooks {
  /** Before the upstream is asked, by priority. The first answer ends the phase. */
  onRequest?(exchange: Exchange): MaybePromise<Verdict>;
  /** Before the first byte to the client, in reverse; for the plugins whose request phase ran, also on answers of our own. */
  onResponse?(exchange: Exchange, response: ExchangeResponse): MaybePromise<void>;
  /** May turn a failure into an answer (stale content). Asked in reverse; the first answer counts. */
  onError?(exchange: Exchange, error: GatewayError): MaybePromise<Verdict>;
  /**
   * Whether an exchange that goes on (a stream, an upgrade) may go on: its request is shown anew, as it came, every few
   * seconds, to the plugins of the policy in force. A verdict ends it, unless its error is of status 503; counts and
   * changes nothing.
   */
  recheck?(exchange: Exchange): MaybePromise<Verdict>;
  /** After the last byte, the abort or the failure; looks, never changes. Runs for every exchange whose request phase ran. */
  onComplete?(exchange: Exchange, outcome: Outcome): void;
  /** Time limits in milliseconds that replace the common one, per hook. */
  readonly timeLimitMs?: {
    readonly onRequest?: number;
    readonly onResponse?: number;
    readonly onError?: number;
    readonly recheck?: number;
  };
  /** Lower-case names (`-` for `_`) of request fields that this plugin sets: whatever a client sends under them is removed on every route. */
  readonly ownedRequestFields?: readonly string[];
  /** Query parameters with a credential: on this plugin's routes they reach `request.ownedQuery`, and no log, cache or service. */
  readonly ownedQuery?: readonly string[];
  /** WebSocket subprotocols likewise (`request.ownedSubprotocols`): these names, and those that begin with one and a dot. */
  readonly ownedSubprotocols?: readonly string[];
  /** Cookies that this plugin sets: on every route they reach `request.ownedCookies` and no service, and no service sets them (unless `fromService`). */
  readonly ownedCookies?: readonly OwnedCookie[];
  /** Names of fields that this plugin reads, sets or removes in heads: none comes as a trailer, either way. */
  readonly headOnlyFields?: readonly string[];
  /** JSON documents for everybody, by name: the admin listener serves them at `/plugins/<plugin>/<name>` (a key set). */
  readonly documents?: Readonly<Record<string, () => string>>;
  /** undefined = well; text = what is wrong. */
  health?(): string | undefined;
  /** Once, after the last exchange of the snapshot. */
  close?(): MaybePromise<void>;
}

/** A field towards the service that a plugin's options set. */
export interface RequestField {
  readonly name: string;
  /** Where in the options it stands. */
  readonly path: readonly (string | number)[];
  /** Whether it tells the service who calls. */
  readonly tellsWho: boolean;
}

export type FailMode = "open" | "closed";

export interface SetupInput<Options, State> {
  readonly options: Options;
  readonly services: Services;
  readonly state: State;
  readonly route: RouteInfo;
}

export interface PluginDefinition<Schema extends z.ZodType = z.ZodType, State = unknown> {
  readonly name: string;
  readonly version: string;
  /** Version of this contract. */
  readonly apiVersion: 1;
  /** Lowest first on the request, reverse on the response; unique. */
  readonly priority: number;
  /** Decides who gets in: always fails closed, and its routes refuse paths that a service might read differently. */
  readonly security: boolean;
  /**
   * Refuses requests by rules of the policy, without deciding who gets in (limits): a path that could be read as one of
   * its routes' is refused on the others.
   */
  readonly refuses?: boolean;
  /** When a hook throws or takes too long: `open` = go on without it, `closed` = 503. The policy may override it, not for `security`. */
  readonly failMode: FailMode;
  /** Strict zod object; every field has a description and a default. */
  readonly options: Schema;
  /**
   * The request fields that options set, as they are written in a policy and not yet checked: a service's layer may not
   * set those that tell the service who calls, and no client may send them.
   */
  readonly requestFields?: (options: unknown) => readonly RequestField[];
  /** Once per process, when a policy first names the plugin: what outlives a policy change (caches, counters). */
  init?(services: Services): State;
  /**
   * What all workers of a sidecar share while there is no Redis; made once, in their primary, when the first asks by
   * `services.workers`. It answers plainly; what it throws is the asker's rejection.
   */
  share?(clock: Clock): (question: unknown) => unknown;
  /** Once per route and snapshot. Rejecting refuses the whole policy. */
  setup(input: SetupInput<z.output<Schema>, State>): MaybePromise<Hooks>;
}

/** Types a plugin definition; checks nothing at run time that the registry's test does not. */
export function definePlugin<Schema extends z.ZodType, State>(
  definition: PluginDefinition<Schema, State>,
): PluginDefinition<Schema, State> {
  return definition;
}
