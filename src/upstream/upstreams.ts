// Keeps one pool of connections per upstream across policies, so that a policy change closes no connections.
import type { Gauge } from "../plugin-api/contract.ts";
import type { EndingMetrics } from "./ending-metrics.ts";
import type { TransportCounts, UpstreamTarget, UpstreamTransport } from "./transport.ts";

interface Pool {
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  holders: number;
}

const connectionsName = "outrigger_upstream_connections";
const states = ["active", "idle", "queued", "upgraded"] as const;

export class Upstreams {
  readonly #pools = new Map<string, Pool>();
  /** Closed pools whose last exchanges still run. */
  readonly #ending = new Set<Pool>();
  /** Names that have series. */
  #shown: ReadonlySet<string> = new Set();
  readonly #metrics: EndingMetrics;
  readonly #create: (target: UpstreamTarget) => UpstreamTransport;
  readonly #connections: (...values: string[]) => Gauge;

  constructor(create: (target: UpstreamTarget) => UpstreamTransport, metrics: EndingMetrics) {
    this.#create = create;
    this.#metrics = metrics;
    this.#connections = metrics.gauge(connectionsName, "Connections to an upstream", ["upstream", "state"]);
  }

  /** Takes hold of the upstream's pool; each `hold` needs one `release`. */
  hold(target: UpstreamTarget): void {
    const key = keyOf(target);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = { target, transport: this.#create(target), holders: 0 };
      this.#pools.set(key, pool);
    }
    pool.holders += 1;
  }

  /** The pool of an upstream that is held. */
  get(target: UpstreamTarget): UpstreamTransport {
    const pool = this.#pools.get(keyOf(target));
    if (pool === undefined) throw new Error(`upstream ${target.name} is not held`);
    return pool.transport;
  }

  /** Closes the pool once nobody holds it. */
  release(target: UpstreamTarget): void {
    const key = keyOf(target);
    const pool = this.#pools.get(key);
    if (pool === undefined) return;
    pool.holders -= 1;
    if (pool.holders > 0) return;
    this.#pools.delete(key);
    pool.transport.close();
    this.#ending.add(pool);
    this.#endEmpty();
  }

  /** Brings the gauges up to date; called before a scrape. Pools of the same name (in two protocols) are one series. */
  observe(): void {
    this.#endEmpty();
    const sums = new Map<string, Record<keyof TransportCounts, number>>();
    for (const { target, transport } of [...this.#pools.values(), ...this.#ending]) {
      const sum = sums.get(target.name) ?? { active: 0, idle: 0, queued: 0, upgraded: 0 };
      sums.set(target.name, sum);
      const counts = transport.counts();
      for (const state of states) sum[state] += counts[state];
    }
    for (const [upstream, sum] of sums)
      for (const state of states) this.#connections(upstream, state).set(sum[state]);
    for (const gone of this.#shown)
      if (!sums.has(gone)) for (const state of states) this.#metrics.forget(connectionsName, [gone, state]);
    this.#shown = new Set(sums.keys());
  }

  close(): void {
    for (const { transport } of this.#pools.values()) transport.close();
    this.#pools.clear();
  }

  #endEmpty(): void {
    for (const pool of this.#ending) if (isEmpty(pool.transport.counts())) this.#ending.delete(pool);
  }
}

function isEmpty(counts: TransportCounts): boolean {
  return states.every((state) => counts[state] === 0);
}

function keyOf({ tls, name, protocol = "http1", tlsOptions }: UpstreamTarget): string {
  return `${tls ? "tls" : "tcp"} ${protocol} ${name} ${tlsOptions?.servername ?? ""} ${tlsOptions?.peer?.id ?? ""}`;
}
