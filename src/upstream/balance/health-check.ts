// Checks the health of one endpoint at intervals. Only one check runs at a time, and each has a timeout.
import type { UpstreamCall, UpstreamHandler } from "../transport.ts";
import type { Time } from "../time.ts";
import type { Endpoint } from "./endpoint.ts";
import type { HealthRules } from "./spec.ts";

/** The rest of a longer answer is not read. */
const maxBytes = 65_536;
/** The first check comes soon, at a random time so that not all endpoints are checked at once. */
const firstWithinMs = 250;

export class HealthCheck {
  readonly #endpoint: Endpoint;
  readonly #host: string;
  readonly #rules: HealthRules;
  readonly #time: Time;
  readonly #random: () => number;
  readonly #changed: (endpoint: Endpoint) => void;
  #inRow = 0;
  #last = true;
  #call: UpstreamCall | undefined = undefined;
  #cancelTimer: (() => void) | undefined = undefined;
  #stopped = false;

  /** @param host sent as Host @param changed called when the endpoint becomes healthy or unhealthy */
  constructor(
    { endpoint, host }: { readonly endpoint: Endpoint; readonly host: string },
    rules: HealthRules,
    { time, random }: { readonly time: Time; readonly random: () => number },
    changed: (endpoint: Endpoint) => void,
  ) {
    this.#endpoint = endpoint;
    this.#host = host;
    this.#rules = rules;
    this.#time = time;
    this.#random = random;
    this.#changed = changed;
    this.#later(random() * Math.min(firstWithinMs, rules.intervalMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#call?.abort();
    this.#call = undefined;
  }

  #later(ms: number): void {
    this.#cancelTimer = this.#time.after(ms, () => this.#ask());
  }

  #ask(): void {
    const { path, intervalMs, timeoutMs } = this.#rules;
    let over = false;
    const settle = (good: boolean): void => {
      if (over || this.#stopped) return;
      over = true;
      this.#cancelTimer?.();
      this.#call?.abort();
      this.#call = undefined;
      this.#judge(good);
      this.#later(intervalMs * (0.9 + 0.2 * this.#random()));
    };
    this.#cancelTimer = this.#time.after(timeoutMs, () => settle(false));
    const call = this.#endpoint.transport.send(
      {
        method: "GET",
        target: path,
        fields: ["Host", this.#host, "User-Agent", "outrigger-health"],
        body: "none",
        connectTimeoutMs: timeoutMs,
        timeoutMs,
      },
      answerOf(settle),
    );
    if (!over) this.#call = call;
  }

  #judge(good: boolean): void {
    this.#inRow = good === this.#last ? this.#inRow + 1 : 1;
    this.#last = good;
    const { healthyThreshold, unhealthyThreshold } = this.#rules;
    if (good === this.#endpoint.healthy || this.#inRow < (good ? healthyThreshold : unhealthyThreshold))
      return;
    this.#endpoint.healthy = good;
    this.#changed(this.#endpoint);
  }
}

function answerOf(settle: (good: boolean) => void): UpstreamHandler {
  let good = false;
  let bytes = 0;
  return {
    onInterim: () => {},
    onHead: (status) => (good = status >= 200 && status < 400),
    onData: (chunk) => {
      bytes += chunk.length;
      if (bytes > maxBytes) settle(good);
      return true;
    },
    onEnd: () => settle(good),
    onFail: () => settle(false),
    onDrain: () => {},
  };
}
