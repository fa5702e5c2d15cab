// Which traces are recorded, decided when their first span here begins.
import type { TracingRules } from "../../runtime/live-trace.ts";
import { type RemoteParent, sampledFlag } from "./context.ts";

/** `OTEL_TRACES_SAMPLER` with its argument. */
export interface SamplerSettings {
  /** Whether a caller's decision counts. */
  readonly byParent: boolean;
  readonly ratio: number;
}

const two56 = 2 ** 56;

/** Whether a trace is within the share, by its last 56 bits: everybody who uses the same ratio decides alike. */
export function isWithinRatio(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  if (ratio <= 0) return false;
  // Compared from above, as `ot=th` does: 52 bits of the 56 are enough for a share.
  return Number.parseInt(traceId.slice(18, 31), 16) * 16 >= (1 - ratio) * two56;
}

/** Decides per process. */
export class Sampler {
  readonly #settings: SamplerSettings;
  #second = 0;
  #taken = 0;

  constructor(settings: SamplerSettings) {
    this.#settings = settings;
  }

  /** @param nowMono milliseconds */
  samples(
    traceId: string,
    parent: RemoteParent | undefined,
    rules: TracingRules | undefined,
    nowMono: number,
  ): boolean {
    const { byParent, ratio } = this.#settings;
    const wanted =
      byParent && parent !== undefined
        ? (parent.flags & sampledFlag) !== 0
        : isWithinRatio(traceId, rules?.sampleRatio ?? ratio);
    const most = rules?.maxPerSecond;
    return wanted && (most === undefined || this.#isWithin(most, nowMono));
  }

  #isWithin(most: number, nowMono: number): boolean {
    const second = Math.floor(nowMono / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#taken = 0;
    }
    this.#taken += 1;
    return this.#taken <= most;
  }
}
