// Maintains `outrigger_upstream_endpoint_up`, with a series for each current endpoint. Without removal, series of
// addresses that come and go would stay as long as the process, and in the end use up the limit on series.
import type { Metrics } from "../../plugin-api/contract.ts";
import type { EndingMetrics } from "../ending-metrics.ts";
import type { Endpoint } from "./endpoint.ts";

const name = "outrigger_upstream_endpoint_up";

export class EndpointGauges {
  readonly #metrics: EndingMetrics;
  readonly #gauge: ReturnType<Metrics["gauge"]>;
  /** Endpoints by series. While one policy takes over from another, both have the same endpoints for a moment. */
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

  /** Shows the state of an endpoint. Late changes of an endpoint that is gone are ignored. */
  set(upstream: string, endpoint: Endpoint): void {
    if (this.#shown.get(JSON.stringify([upstream, endpoint.name]))?.has(endpoint) !== true) return;
    this.#gauge(upstream, endpoint.name).set(endpoint.up ? 1 : 0);
  }

  /** Removes an endpoint that is gone. */
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
