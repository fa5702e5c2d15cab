// A snapshot as the listener uses it: routes found by path and method, each with its connections to the upstream and
// its counters. Swapped as one reference.
import type { Outcome } from "../plugin-api/contract.ts";
import type { PolicyAudit } from "../runtime/live-audit.ts";
import type { TracingRules } from "../runtime/live-trace.ts";
import type { Chain } from "../runtime/chain.ts";
import type { PolicyTrial } from "./policy-trial.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { Fields } from "../plugin-api/fields.ts";
import type { OwnedParts } from "../runtime/owned-parts.ts";
import type { OwnedCookies } from "../runtime/owned-cookies.ts";
import type { RequestCounters } from "./request-counters.ts";
import { RouteCounts } from "./route-counts.ts";
import { nothingOff, type SwitchedOff } from "../kill-switch/kill-switch.ts";
import { switchedRoute } from "./switched-route.ts";
import type { CompiledRoute } from "../runtime/set-up.ts";
import type { Snapshot } from "../runtime/snapshot.ts";
import { Slices } from "../v8/slices.ts";
import { endToEndFields } from "../http1/hop-by-hop.ts";
import { isForwardedField, stoppedOverrides } from "../language/field-sets.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { Finding } from "./finding.ts";
import { type PrefixRule, restorePrefix } from "./restore-prefix.ts";
import { type RouteChoice, routeChoice } from "./route-choice.ts";
import { RouteFinder, type FindableRoute, type Found } from "./route-finder.ts";
import { type RequestTrailers, TrailerRules } from "../http1/trailers.ts";
import type { UpstreamTarget, UpstreamTransport } from "../upstream/transport.ts";

/** A route with all that serving it takes. */
export class ServedRoute {
  readonly info: CompiledRoute["info"];
  readonly chain: Chain;
  readonly ownedParts: OwnedParts | undefined;
  /** Why it takes nobody, whatever the request; undefined = it takes them. */
  readonly refusal: GatewayError | undefined;
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  readonly timeoutMs: number;
  readonly bufferRequestBytes: number;
  readonly #cookies: OwnedCookies | undefined;
  /** Longest age of an exchange. */
  readonly maxAgeMs: number;
  /** Longest silence of a stream. */
  readonly maxIdleMs: number;
  /** From the client of a stream. */
  readonly maxMessagesPerSecond: number;
  readonly tracing: TracingRules | undefined;
  /** Whether an exchange that goes on is judged anew while the policy stays the same. */
  readonly judgedAnew: boolean;
  readonly #stripPrefix: string;
  readonly #restores: PrefixRule | undefined;
  readonly #counters: RequestCounters;
  /** Made with the first request: of thousands of routes most are never asked for. */
  #counts: RouteCounts | undefined = undefined;

  constructor(
    route: CompiledRoute,
    upstream: { target: UpstreamTarget; transport: UpstreamTransport },
    counters: RequestCounters,
    owned: { readonly cookies: OwnedCookies | undefined; readonly parts: OwnedParts | undefined },
    off: SwitchedOff,
  ) {
    this.#cookies = owned.cookies;
    this.info = route.info;
    const { chain, refusal } = switchedRoute(route, off);
    this.chain = chain;
    this.refusal = refusal;
    this.ownedParts = owned.parts;
    this.target = upstream.target;
    this.transport = upstream.transport;
    this.timeoutMs = route.spec.timeoutMs;
    this.maxAgeMs = route.spec.maxAgeMs ?? Infinity;
    this.maxIdleMs = route.spec.maxIdleMs ?? Infinity;
    this.maxMessagesPerSecond = route.spec.maxMessagesPerSecond ?? Infinity;
    this.tracing = route.spec.tracing;
    this.judgedAnew = chain.rechecks || Math.min(this.maxAgeMs, this.maxIdleMs) < Infinity;
    this.#stripPrefix = route.spec.stripPrefix ?? "";
    this.bufferRequestBytes = route.spec.bufferRequestBytes;
    const { basePath, name } = upstream.target;
    const prefix = this.#stripPrefix;
    this.#restores = route.spec.restorePrefix === true ? { prefix, basePath, upstream: name } : undefined;
    this.#counters = counters;
  }

  /** The path without the route's `stripPrefix`, which validation holds to whole segments of the route's own path. */
  strippedPath(path: string): string {
    if (this.#stripPrefix === "" || path === "*") return path;
    if (!this.info.caseInsensitive) return path.slice(this.#stripPrefix.length) || "/";
    // The prefix in another case may have another length.
    let end = 0;
    for (const _ of this.#stripPrefix.split("/").slice(1)) end = path.indexOf("/", end + 1) >>> 0;
    return path.slice(end) || "/";
  }

  /** What a path without `stripPrefix` is on the wire: behind the upstream's base path. */
  wirePath(strippedPath: string): string {
    const { basePath } = this.target;
    return basePath === undefined || strippedPath === "*" ? strippedPath : `${basePath}${strippedPath}`;
  }

  /** What was stripped of a path, as the client wrote it; undefined = nothing. */
  strippedOf(path: string, strippedPath: string): string | undefined {
    if (this.#stripPrefix === "" || path === "*") return undefined;
    return strippedPath === "/" && !path.endsWith("/")
      ? path
      : path.slice(0, path.length - strippedPath.length);
  }

  /** The end-to-end fields of a head that its service sent, as clients may see them. */
  received(flat: readonly string[], asked: { readonly request: { readonly host: string } }): Fields {
    const fields = endToEndFields(flat);
    this.#cookies?.dropFrom(fields);
    if (this.#restores !== undefined) restorePrefix(fields, this.#restores, asked.request.host);
    return fields;
  }

  countMessages(direction: "request" | "response", messages: number): void {
    this.#counters.messages(this.info.pattern, direction).inc(messages);
  }

  /** @param traceId of a trace that is kept */
  count(method: string, outcome: Outcome, traceId: string | undefined): void {
    this.#counts ??= new RouteCounts(this.info.pattern, this.#counters);
    this.#counts.count(method, outcome, traceId);
  }
}

/** Where a request goes, and which refusal is certain already. */
export interface Routing {
  readonly route: ServedRoute;
  /** Refused before any plugin's request phase. */
  readonly early?: GatewayError;
  /** Refused if no plugin answers: a preflight is for the chain (`cors`), not for the service. */
  readonly unanswered?: GatewayError;
}

/** What the settings say of fields that clients send. */
export interface FieldRules {
  readonly requestTrailers: RequestTrailers;
  /** Override fields that go on all the same. */
  readonly keepOverrides: readonly string[];
}

/** What counts for all routes of a policy. */
export interface PolicyRules extends FieldRules {
  /** Who records its decisions; absent = nobody. */
  readonly audit?: PolicyAudit | undefined;
  /** Absent = routes are found by the path of the request. */
  readonly finding?: Finding | undefined;
}

type UpstreamOf = (route: CompiledRoute) => { target: UpstreamTarget; transport: UpstreamTransport };

export class RoutedPolicy {
  readonly snapshot: Snapshot;
  /** Which plugins are off. */
  readonly off: SwitchedOff;
  /** The same policy, with these plugins off. */
  readonly switched: (off: SwitchedOff) => Promise<RoutedPolicy>;
  readonly trailers: TrailerRules;
  /** Who records its decisions; undefined = nobody. */
  readonly audit: PolicyAudit | undefined;
  /** While a candidate is tried beside it, or this is one. */
  trial: PolicyTrial<RoutedPolicy> | undefined = undefined;
  /**
   * Whether a field of that lower-case name stops here; undefined = nobody guards anything. On every route: one that is
   * open to all would else be the way to what another one guards.
   */
  readonly #stopsOverride: ((lowerName: string) => boolean) | undefined;
  readonly #finding: Finding | undefined;
  readonly #finder: RouteFinder<ServedRoute>;
  readonly #unmatched: ServedRoute;

  private constructor(
    snapshot: Snapshot,
    { finder, unmatched }: { finder: RouteFinder<ServedRoute>; unmatched: ServedRoute },
    { requestTrailers, keepOverrides, audit, finding }: PolicyRules,
    off: SwitchedOff,
    switched: RoutedPolicy["switched"],
  ) {
    this.snapshot = snapshot;
    this.off = off;
    this.audit = audit;
    this.#finding = finding;
    this.switched = switched;
    this.trailers = new TrailerRules(requestTrailers, snapshot.headOnlyFields);
    if (snapshot.routes.some(({ guarded }) => guarded)) this.#stopsOverride = stoppedOverrides(keepOverrides);
    this.#finder = finder;
    this.#unmatched = unmatched;
  }

  /** Other work goes on meanwhile: routes are thousands. */
  static async over(
    snapshot: Snapshot,
    counters: RequestCounters,
    upstreamOf: UpstreamOf,
    rules: PolicyRules,
    off = nothingOff,
  ): Promise<RoutedPolicy> {
    const serve = (route: CompiledRoute): ServedRoute =>
      new ServedRoute(
        route,
        upstreamOf(route),
        counters,
        { cookies: snapshot.ownedCookies, parts: snapshot.ownedParts(route) },
        off,
      );
    const routes = new Map<ServedRoute, FindableRoute>();
    const slices = new Slices();
    for (const route of snapshot.routes) {
      routes.set(serve(route), findableRoute(route));
      if (slices.over) await slices.next();
    }
    const finder = await RouteFinder.over(routes);
    const switched = (other: SwitchedOff): Promise<RoutedPolicy> =>
      RoutedPolicy.over(snapshot, counters, upstreamOf, rules, other);
    return new RoutedPolicy(snapshot, { finder, unmatched: serve(snapshot.unmatched) }, rules, off, switched);
  }

  /** Names that only the sidecar may set, whatever a client sends. */
  readonly isOwned = (name: string): boolean =>
    name.startsWith("x-user-") || this.snapshot.ownedRequestFields.has(name);

  /** The same for a client that is no trusted proxy. */
  readonly isOwnedOrForwarded = (name: string): boolean => this.isOwned(name) || isForwardedField(name);

  /** The routing of a request that is to be served: takes out of its head what stops here. */
  take(head: RequestHead): Routing {
    if (this.#stopsOverride !== undefined) head.fields.deleteWhere(this.#stopsOverride);
    return this.find(head);
  }

  /** Why a request went to the route with this path, or to none (null). */
  choiceOf(chosen: string | null, request: { readonly path: string; readonly method: string }): RouteChoice {
    return routeChoice(this.#finder.facts, chosen, request);
  }

  find(head: RequestHead): Routing {
    const path = this.#finding?.pathOf(head) ?? (head.path === "*" ? "/" : head.path);
    if (head.method === "TRACE") return { route: this.#unmatched, early: notTraced() };
    const match = this.#finder.match(path, head.method);
    if (match.kind === "found") return taken(match.route);
    if (match.kind === "ambiguous") return ambiguous(match);
    if (match.kind === "none") {
      const said = this.#finding?.notFound ?? "No route takes this path.";
      return { route: this.#unmatched, early: new GatewayError("route_not_found", said) };
    }
    const refusal = new GatewayError("method_not_allowed", `This path takes ${match.allow.join(", ")}.`, {
      fields: ["Allow", match.allow.join(", ")],
    });
    const wanted = head.method === "OPTIONS" ? preflightMethod(head) : undefined;
    const wantedMatch = wanted === undefined ? match : this.#finder.match(path, wanted);
    if (wantedMatch.kind === "found") return { ...taken(wantedMatch.route), unanswered: refusal };
    if (wantedMatch.kind === "ambiguous") return ambiguous(wantedMatch);
    return { route: this.#unmatched, early: refusal };
  }
}

/** An answer to TRACE shows whoever asks what proxies added, and scripts what they may not read (RFC 9110 section 9.3.8). */
function notTraced(): GatewayError {
  const allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
  return new GatewayError("method_not_allowed", "TRACE is not served here.", { fields: ["Allow", allow] });
}

function findableRoute({ spec, guarded, decides }: CompiledRoute): FindableRoute {
  const { path, methods, caseInsensitive = false, encodedSlash } = spec;
  // Where nobody guards, an encoded slash harms only where it leads to another route.
  const refusesEncodedSlash = (encodedSlash ?? (guarded ? "refuse" : "segment")) === "refuse";
  return { path, methods, caseInsensitive, refusesEncodedSlash, guarded, decides };
}

function taken(route: ServedRoute): Routing {
  return route.refusal === undefined ? { route } : { route, early: route.refusal };
}

function ambiguous({ route, why }: Extract<Found<ServedRoute>, { kind: "ambiguous" }>): Routing {
  return { route, early: new GatewayError("malformed_request", `The path ${why}.`) };
}

/** The method a CORS preflight asks about (Fetch standard): only with Origin and Access-Control-Request-Method. */
function preflightMethod({ fields }: RequestHead): string | undefined {
  return fields.has("origin") ? fields.get("access-control-request-method") : undefined;
}
