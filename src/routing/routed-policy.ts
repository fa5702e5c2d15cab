// A snapshot as the listener uses it. Routes are found by path and method; each has its upstream connections and its
// counters. A new policy replaces it by swapping one reference.
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

/** A route with everything needed to serve it. */
export class ServedRoute {
  readonly info: CompiledRoute["info"];
  readonly chain: Chain;
  readonly ownedParts: OwnedParts | undefined;
  /** Why the route refuses every request; undefined = it takes requests. */
  readonly refusal: GatewayError | undefined;
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  readonly timeoutMs: number;
  readonly bufferRequestBytes: number;
  readonly #cookies: OwnedCookies | undefined;
  /** The longest age of an exchange in ms. */
  readonly maxAgeMs: number;
  /** The longest silence of a stream in ms. */
  readonly maxIdleMs: number;
  /** The limit for messages from the client of a stream. */
  readonly maxMessagesPerSecond: number;
  readonly tracing: TracingRules | undefined;
  /** Whether a running exchange is rechecked while the policy stays the same. */
  readonly judgedAnew: boolean;
  readonly #stripPrefix: string;
  readonly #restores: PrefixRule | undefined;
  readonly #counters: RequestCounters;
  /** Made with the first request: most of thousands of routes are never used. */
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

  /**
   * The path without the route's `stripPrefix`: validation allows only whole segments of the route's own path there.
   */
  strippedPath(path: string): string {
    if (this.#stripPrefix === "" || path === "*") return path;
    if (!this.info.caseInsensitive) return path.slice(this.#stripPrefix.length) || "/";
    // The prefix may have another length in another case.
    let end = 0;
    for (const _ of this.#stripPrefix.split("/").slice(1)) end = path.indexOf("/", end + 1) >>> 0;
    return path.slice(end) || "/";
  }

  /** The path on the wire for a path without `stripPrefix`: behind the upstream's base path. */
  wirePath(strippedPath: string): string {
    const { basePath } = this.target;
    return basePath === undefined || strippedPath === "*" ? strippedPath : `${basePath}${strippedPath}`;
  }

  /** The part that was stripped of a path, as the client wrote it; undefined = nothing. */
  strippedOf(path: string, strippedPath: string): string | undefined {
    if (this.#stripPrefix === "" || path === "*") return undefined;
    return strippedPath === "/" && !path.endsWith("/")
      ? path
      : path.slice(0, path.length - strippedPath.length);
  }

  /** The end-to-end fields of a response head that clients may see. */
  received(flat: readonly string[], asked: { readonly request: { readonly host: string } }): Fields {
    const fields = endToEndFields(flat);
    this.#cookies?.dropFrom(fields);
    if (this.#restores !== undefined) restorePrefix(fields, this.#restores, asked.request.host);
    return fields;
  }

  countMessages(direction: "request" | "response", messages: number): void {
    this.#counters.messages(this.info.pattern, direction).inc(messages);
  }

  /** @param traceId of a trace that is kept; undefined = none */
  count(method: string, outcome: Outcome, traceId: string | undefined): void {
    this.#counts ??= new RouteCounts(this.info.pattern, this.#counters);
    this.#counts.count(method, outcome, traceId);
  }
}

/** The route of a request, and refusals that are already certain. */
export interface Routing {
  readonly route: ServedRoute;
  /** Refused before the request phase of any plugin. */
  readonly early?: GatewayError;
  /** Refused if no plugin answers: the chain (`cors`) answers a preflight, not the service. */
  readonly unanswered?: GatewayError;
}

/** The settings for fields that clients send. */
export interface FieldRules {
  readonly requestTrailers: RequestTrailers;
  /** Override fields that are forwarded in spite of the rule. */
  readonly keepOverrides: readonly string[];
}

/** The rules for all routes of a policy. */
export interface PolicyRules extends FieldRules {
  /** The recorder of its decisions; absent = none are recorded. */
  readonly audit?: PolicyAudit | undefined;
  /** Absent = routes are found by the request's path. */
  readonly finding?: Finding | undefined;
}

type UpstreamOf = (route: CompiledRoute) => { target: UpstreamTarget; transport: UpstreamTransport };

export class RoutedPolicy {
  readonly snapshot: Snapshot;
  /** The plugins that are switched off. */
  readonly off: SwitchedOff;
  /** Builds the same policy with these plugins switched off. */
  readonly switched: (off: SwitchedOff) => Promise<RoutedPolicy>;
  readonly trailers: TrailerRules;
  /** The recorder of its decisions; undefined = none are recorded. */
  readonly audit: PolicyAudit | undefined;
  /** Set while a candidate is tried beside this policy, or this policy is the candidate. */
  trial: PolicyTrial<RoutedPolicy> | undefined = undefined;
  /**
   * Whether an override field of that lower-case name is removed; undefined = no route is guarded. It holds on every
   * route: an open route would otherwise be a way around the guard of another.
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

  /** Builds the policy over thousands of routes; it yields to the event loop in between. */
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

  /** The same test for a client that is no trusted proxy. */
  readonly isOwnedOrForwarded = (name: string): boolean => this.isOwned(name) || isForwardedField(name);

  /** Routes a request that is to be served, after removing override fields from its head. */
  take(head: RequestHead): Routing {
    if (this.#stopsOverride !== undefined) head.fields.deleteWhere(this.#stopsOverride);
    return this.find(head);
  }

  /** Explains why a request went to the route with this path, or to none (null). */
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

/**
 * An answer to TRACE would show clients the fields that proxies added, and show scripts fields that they may not read
 * (RFC 9110 section 9.3.8).
 */
function notTraced(): GatewayError {
  const allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
  return new GatewayError("method_not_allowed", "TRACE is not served here.", { fields: ["Allow", allow] });
}

function findableRoute({ spec, guarded, decides }: CompiledRoute): FindableRoute {
  const { path, methods, caseInsensitive = false, encodedSlash } = spec;
  // On an unguarded route, an encoded slash does harm only if it leads to another route.
  const refusesEncodedSlash = (encodedSlash ?? (guarded ? "refuse" : "segment")) === "refuse";
  return { path, methods, caseInsensitive, refusesEncodedSlash, guarded, decides };
}

function taken(route: ServedRoute): Routing {
  return route.refusal === undefined ? { route } : { route, early: route.refusal };
}

function ambiguous({ route, why }: Extract<Found<ServedRoute>, { kind: "ambiguous" }>): Routing {
  return { route, early: new GatewayError("malformed_request", `The path ${why}.`) };
}

/** The method that a CORS preflight asks about (Fetch standard): only with Origin and Access-Control-Request-Method. */
function preflightMethod({ fields }: RequestHead): string | undefined {
  return fields.has("origin") ? fields.get("access-control-request-method") : undefined;
}
