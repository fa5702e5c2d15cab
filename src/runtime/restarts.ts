// Decides when a plugin's process or guest that died may start again, and when it may not any more. There is one object
// per package digest, so another digest starts afresh.
import type { Gauge, Logger, Metrics } from "../plugin-api/services.ts";

const firstDelayMs = 100;
const maxDelayMs = 30_000;
const windowMs = 60_000;

export interface RestartsOf {
  readonly plugin: string;
  readonly version: string;
  /** Restarts allowed within a minute; one more and the plugin is quarantined. */
  readonly perMinute: number;
  readonly logger: Logger;
  /** The plugin's own metrics; its definition must declare `quarantineMetric` in its needs. */
  readonly metrics: Metrics;
}

export const quarantineMetric = "outrigger_plugin_quarantined";

export class Restarts {
  readonly #of: RestartsOf;
  /** Created on first use: versions come and go, and most are never quarantined. */
  #gauge: Gauge | undefined;
  /** Times of the last deaths within the window, on the monotonic clock. */
  readonly #deaths: number[] = [];
  #delayMs = 0;
  #reason: string | undefined;
  #quarantined = false;

  constructor(of: RestartsOf) {
    this.#of = of;
  }

  /**
   * Records that the process or guest died.
   * @param reason in plain words, for the log
   * @returns milliseconds to wait before the restart; undefined = it is quarantined
   */
  nextDelay(reason: string, nowMono: number): number | undefined {
    if (this.#quarantined) return undefined;
    this.#reason = reason;
    const last = this.#deaths.at(-1);
    while (this.#deaths.length > 0 && (this.#deaths[0] as number) <= nowMono - windowMs) this.#deaths.shift();
    this.#deaths.push(nowMono);
    if (this.#deaths.length > this.#of.perMinute) this.quarantine(reason);
    if (this.#quarantined) return undefined;
    const wasWell = last === undefined || nowMono - last > windowMs + this.#delayMs;
    this.#delayMs = wasWell ? firstDelayMs : Math.min(this.#delayMs * 2, maxDelayMs);
    return this.#delayMs;
  }

  /** Quarantines the plugin: it no longer runs in this sidecar process. */
  quarantine(reason: string): void {
    if (this.#quarantined) return;
    this.#quarantined = true;
    this.#reason = reason;
    const { plugin, version, perMinute, logger, metrics } = this.#of;
    this.#gauge = metrics.gauge(
      quarantineMetric,
      "Whether a plugin is left out: for what its timers and callbacks threw, or because it keeps dying",
      ["plugin", "version"],
      "max",
    )(plugin, version);
    this.#gauge.set(1);
    logger.error(
      { plugin, version, reason, restartsPerMinute: perMinute },
      "plugin is quarantined until a policy names another digest of it: its requests get its fail mode",
    );
  }

  get quarantined(): boolean {
    return this.#quarantined;
  }

  /** Why it died last, or why it is quarantined. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** For `health()`: what an operator should know; undefined = nothing. */
  get trouble(): string | undefined {
    return this.#quarantined ? `it is quarantined: ${this.#reason}` : undefined;
  }

  /** The package is no longer used: its gauge goes back to 0. */
  close(): void {
    this.#gauge?.set(0);
  }
}
