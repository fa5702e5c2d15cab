// Keeps upstreams with several endpoints across policies, so that a new policy does not lose the state of endpoints.
import type { Logger } from "../../plugin-api/contract.ts";
import { systemTime, type Time } from "../time.ts";
import type { UpstreamTransport } from "../transport.ts";
import { createResolve, type Resolve } from "./addresses.ts";
import { type BalancedParts, BalancedUpstream } from "./balanced-upstream.ts";
import type { EndingMetrics } from "../ending-metrics.ts";
import { EndpointGauges } from "./endpoint-gauges.ts";
import type { BalancedSpec } from "./spec.ts";

export interface BalancedOptions {
  readonly upstreams: BalancedParts["upstreams"];
  readonly metrics: EndingMetrics;
  readonly logger: Logger;
  readonly zone: string | undefined;
  readonly time?: Time;
  readonly random?: () => number;
  readonly resolve?: Resolve;
}

interface Held {
  readonly upstream: BalancedUpstream;
  holders: number;
}

export class BalancedUpstreams {
  readonly #parts: BalancedParts;
  readonly #held = new Map<string, Held>();

  constructor({ metrics, time = systemTime, random = Math.random, resolve, ...parts }: BalancedOptions) {
    const up = new EndpointGauges(metrics);
    this.#parts = { ...parts, up, time, random, resolve: resolve ?? createResolve() };
  }

  /** Returns the upstream for a spec, made at the first call. Each `hold` needs one `release`. */
  hold(spec: BalancedSpec): UpstreamTransport {
    const key = JSON.stringify(spec);
    let held = this.#held.get(key);
    if (held === undefined) {
      held = { upstream: new BalancedUpstream(spec, this.#parts), holders: 0 };
      this.#held.set(key, held);
    }
    held.holders += 1;
    return held.upstream;
  }

  release(spec: BalancedSpec): void {
    const key = JSON.stringify(spec);
    const held = this.#held.get(key);
    if (held === undefined) return;
    held.holders -= 1;
    if (held.holders > 0) return;
    this.#held.delete(key);
    held.upstream.close();
  }

  close(): void {
    for (const { upstream } of this.#held.values()) upstream.close();
    this.#held.clear();
  }
}
