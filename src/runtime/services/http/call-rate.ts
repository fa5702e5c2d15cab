// How many calls a plugin makes in a second, each further try of one included: what a guest does in a loop must not
// become a flood at somebody else's door.
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

  /** Takes one for a further try. @returns whether there was one */
  has(): boolean {
    return this.#rate?.take(this.#options.clock.mono()) ?? true;
  }

  /** @throws QuotaExceeded */
  take(): void {
    if (!this.has()) throw refuse({ ...this.#options, quota: "http_calls", unit: "calls a second" });
  }
}
