// Keeps one pool of connections per upstream across policies, so that a policy change closes no connections.
import type { Gauge, Metrics } from "../plugin-api/contract.ts";
import type { UpstreamTarget, UpstreamTransport } from "./transport.ts";

interface Pool {
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  holders: number;
}

export class Upstreams {
  readonly #pools = new Map<string, Pool>();
  readonly #create: (target: UpstreamTarget) => UpstreamTransport;
  readonly #connections: (...values: string[]) => Gauge;

  constructor(create: (target: UpstreamTarget) => UpstreamTransport, metrics: Metrics) {
    this.#create = create;
    this.#connections = metrics.gauge("outrigger_upstream_connections", "Connections to an upstream", [
      "upstream",
      "state",
    ]);
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
    for (const state of ["active", "idle", "queued", "upgraded"])
      this.#connections(target.name, state).set(0);
  }

  /** Brings the gauges up to date; called before a scrape. */
  observe(): void {
    for (const { target, transport } of this.#pools.values()) {
      const { active, idle, queued, upgraded } = transport.counts();
      this.#connections(target.name, "active").set(active);
      this.#connections(target.name, "idle").set(idle);
      this.#connections(target.name, "queued").set(queued);
      this.#connections(target.name, "upgraded").set(upgraded);
    }
  }

  close(): void {
    for (const { transport } of this.#pools.values()) transport.close();
    this.#pools.clear();
  }
}

function keyOf({ tls, name, protocol = "http1", tlsOptions }: UpstreamTarget): string {
  return `${tls ? "tls" : "tcp"} ${protocol} ${name} ${tlsOptions?.servername ?? ""} ${tlsOptions?.peer?.id ?? ""}`;
}
