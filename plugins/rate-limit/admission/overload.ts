// Sheds load without any configuration, least important requests first. The causes: the service answers ever more
// slowly under the requests in flight, or this process cannot keep up with its event loop.
import type { Clock, Counter, Gauge, Metrics } from "../../../src/plugin-api/contract.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { LoopDelay } from "./loop-delay.ts";
import { overloadLimit, overloadShed } from "../metrics.ts";

/** `critical` is never shed; the others are shed in the order low, normal, high. */
export type Priority = "critical" | "high" | "normal" | "low";

/** The part of an upstream's limit that each priority may fill. */
const shareOfLimit: Readonly<Record<Priority, number>> = {
  critical: Infinity,
  high: 1,
  normal: 0.9,
  low: 0.7,
};

/** Delay of the event loop, in milliseconds, above which a priority is shed. */
const loopDelayMs: Readonly<Record<Priority, number>> = {
  critical: Infinity,
  high: 400,
  normal: 200,
  low: 100,
};

/** Upstreams come from the policy. Past this number the one created first is dropped. */
const maxUpstreams = 1024;

/** One admitted request. */
export interface Ticket {
  /** Call when the response head has come or will not come: the request is no longer in flight to the upstream. */
  leave(): void;
  /** @param upstreamMs wait for the response head; the whole duration when the upstream ran into its time limit */
  sample(upstreamMs: number): void;
}

export class OverloadGuard {
  readonly loopDelay: LoopDelay;
  readonly #clock: Clock;
  readonly #limits = new Map<string, AdaptiveLimit>();
  readonly #shed: (priority: string, cause: string) => Counter;
  readonly #gauge: (upstream: string) => Gauge;

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock;
    this.loopDelay = new LoopDelay(clock);
    this.#shed = overloadShed(metrics);
    this.#gauge = overloadLimit(metrics);
  }

  /** @returns undefined when the request must be shed: answer 503 `overloaded` with `Retry-After` */
  enter(upstream: string, priority: Priority): Ticket | undefined {
    if (this.loopDelay.sheds(loopDelayMs[priority])) return this.#refuse(priority, "event_loop");
    const limit = this.#limitOf(upstream);
    if (!limit.admits(shareOfLimit[priority], this.#clock.mono())) return this.#refuse(priority, "upstream");
    limit.enter();
    let inFlight = true;
    return {
      leave() {
        if (inFlight) limit.leave();
        inFlight = false;
      },
      sample: (upstreamMs) => limit.sample(upstreamMs, this.#clock.mono()),
    };
  }

  #refuse(priority: Priority, cause: "event_loop" | "upstream"): undefined {
    this.#shed(priority, cause).inc();
    return undefined;
  }

  #limitOf(upstream: string): AdaptiveLimit {
    let limit = this.#limits.get(upstream);
    if (limit === undefined) {
      if (this.#limits.size >= maxUpstreams) this.#limits.delete(this.#limits.keys().next().value as string);
      limit = new AdaptiveLimit(this.#gauge(upstream));
      this.#limits.set(upstream, limit);
    }
    return limit;
  }
}
