// Counts one route's requests in one object: with thousands of routes, a request only touches its own route's memory.
import type { Counter, Histogram, Outcome } from "../plugin-api/contract.ts";
import type { RequestCounters } from "./request-counters.ts";

export class RouteCounts {
  readonly #route: string;
  readonly #counters: RequestCounters;
  readonly #seconds: Histogram;
  #upstreamSeconds: Histogram | undefined = undefined;
  // Cache for the latest method and status: most requests have the same as the one before.
  #method = "";
  #status = 0;
  #requests: Counter | undefined = undefined;
  // Label look-ups cost once per method and status, not per request.
  #known: Map<string, Map<number, Counter>> | undefined = undefined;

  constructor(route: string, counters: RequestCounters) {
    this.#route = route;
    this.#counters = counters;
    this.#seconds = counters.seconds(route);
  }

  /** @param traceId of a trace that is kept; undefined = none */
  count(method: string, outcome: Outcome, traceId: string | undefined): void {
    const { status, grpcStatus, upstreamMs } = outcome;
    if (method !== this.#method || status !== this.#status) this.#turnTo(method, status);
    this.#requests?.inc();
    if (grpcStatus !== undefined) this.#counters.grpc(this.#route, String(grpcStatus)).inc();
    this.#seconds.observe(outcome.durationMs / 1000, traceId);
    if (upstreamMs === undefined) return;
    this.#upstreamSeconds ??= this.#counters.upstreamSeconds(this.#route);
    this.#upstreamSeconds.observe(upstreamMs / 1000, traceId);
  }

  #turnTo(method: string, status: number): void {
    const before = this.#requests;
    if (before !== undefined) this.#keep(this.#method, this.#status, before);
    this.#method = method;
    this.#status = status;
    this.#requests =
      this.#known?.get(method)?.get(status) ?? this.#counters.requests(this.#route, method, String(status));
  }

  /** Remembers a counter; called only if requests differ. */
  #keep(method: string, status: number, counter: Counter): void {
    this.#known ??= new Map();
    let byStatus = this.#known.get(method);
    if (byStatus === undefined) this.#known.set(method, (byStatus = new Map()));
    byStatus.set(status, counter);
  }
}
