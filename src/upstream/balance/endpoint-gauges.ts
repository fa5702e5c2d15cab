// `outrigger_upstream_endpoint_up`: a series for each endpoint that there is. Those of addresses that come and go would
// otherwise stay for as long as the process, and in the end take the room of others.
import type { Metrics } from "../../plugin-api/contract.ts";
import type { Endpoint } from "./endpoint.ts";

const name = "outrigger_upstream_endpoint_up";

/** With an end for series. */
export type EndingMetrics = Metrics & {
  /** That series shows no more. */
  forget(name: string, values: readonly string[]): void;
};

export class EndpointGauges {
  readonly #metrics: EndingMetrics;
  readonly #gauge: ReturnType<Metrics["gauge"]>;
  /** A policy takes over from another: for a moment both have the same ones. */
  readonly #shown = new Map<string, Set<Endpoint>>();

  constructor(metrics: EndingMetrics) {
    this.#metrics = metrics;
    this.#gauge = metrics.gauge(
      name,
      "Whether an upstream's endpoint is asked: 0 = its checks fail, or it failed too often in a row",
      ["upstream", "endpoint"],
      "min",
    );
  }

  add(upstream: string, endpoint: Endpoint): void {
    const key = JSON.stringify([upstream, endpoint.name]);
    const same = this.#shown.get(key) ?? new Set();
    this.#shown.set(key, same.add(endpoint));
    this.set(upstream, endpoint);
  }

  /** How it is now; of one that is gone, what still comes in changes nothing. */
  set(upstream: string, endpoint: Endpoint): void {
    if (this.#shown.get(JSON.stringify([upstream, endpoint.name]))?.has(endpoint) !== true) return;
    this.#gauge(upstream, endpoint.name).set(endpoint.up ? 1 : 0);
  }

  /** It is gone. */
  drop(upstream: string, endpoint: Endpoint): void {
    const key = JSON.stringify([upstream, endpoint.name]);
    const same = this.#shown.get(key);
    same?.delete(endpoint);
    const [other] = same ?? [];
    if (other !== undefined) return this.set(upstream, other);
    this.#shown.delete(key);
    this.#metrics.forget(name, [upstream, endpoint.name]);
  }
}
