// Limits how many calls a plugin makes per second, retries included: a loop in a plugin must not flood another service.
import type { Clock } from "../../../plugin-api/services.ts";
import { type QuotaOptions, refuse } from "../quota-use.ts";
import { Rate } from "../rate.ts";

interface CallRateOptions extends Pick<QuotaOptions, "plugin" | "metrics" | "max"> {
  readonly clock: Pick<Clock, "mono">;
}

export class CallRate {
  readonly #options: CallRateOptions;
  readonly #rate: Rate | undefined;

  constructor(options: CallRateOptions) {
    this.#options = options;
    const { max, clock } = options;
    this.#rate = max === Infinity ? undefined : new Rate(max, clock.mono());
  }

  /** Takes one call for a retry. @returns false when none is left */
  has(): boolean {
    return this.#rate?.take(this.#options.clock.mono()) ?? true;
  }

  /** @throws QuotaExceeded */
  take(): void {
    if (!this.has()) throw refuse({ ...this.#options, quota: "http_calls", unit: "calls a second" });
  }
}
