// Tracks how much of a quota is in use, and counts refusals.
import { QuotaExceeded, type QuotaName } from "../../plugin-api/quota.ts";
import type { Metrics } from "../../plugin-api/telemetry.ts";

export const quotaMetric = "outrigger_plugin_quota_refusals_total";

export interface QuotaOptions {
  readonly plugin: string;
  readonly quota: QuotaName;
  readonly max: number;
  /** The unit of `max`, for the error: `calls at once`. */
  readonly unit: string;
  readonly metrics: Metrics | undefined;
}

/** Counts something that a plugin was refused, or lost. */
export function countRefusal({
  plugin,
  quota,
  metrics,
}: Pick<QuotaOptions, "plugin" | "quota" | "metrics">): void {
  metrics
    ?.counter(quotaMetric, "What plugins were refused or lost because they were over a quota", [
      "plugin",
      "quota",
    ])(plugin, quota)
    .inc();
}

/** Counts the refusal. @returns the error to throw */
export function refuse(options: QuotaOptions): QuotaExceeded {
  countRefusal(options);
  return new QuotaExceeded(options.plugin, options.quota, `${options.max} ${options.unit}`);
}

/** A quota of things that a plugin may have at the same time. */
export class QuotaUse {
  readonly #options: QuotaOptions;
  #used = 0;

  constructor(options: QuotaOptions) {
    this.#options = options;
  }

  /** @throws QuotaExceeded */
  take(): void {
    if (this.#used >= this.#options.max) throw refuse(this.#options);
    this.#used += 1;
  }

  giveBack(): void {
    this.#used -= 1;
  }
}
