// Decides which traces are recorded, when their first span in this sidecar begins.
import type { TracingRules } from "../../runtime/live-trace.ts";
import { type RemoteParent, sampledFlag } from "./context.ts";

/** `OTEL_TRACES_SAMPLER` and its argument. */
export interface SamplerSettings {
  /** Whether the caller's decision is followed. */
  readonly byParent: boolean;
  readonly ratio: number;
}

const two56 = 2 ** 56;

/** Whether a trace is within the ratio, by its last 56 bits: all parties with the same ratio decide alike. */
export function isWithinRatio(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  if (ratio <= 0) return false;
  // The highest values are sampled, as with `ot=th`; 52 of the 56 bits are precise enough.
  return Number.parseInt(traceId.slice(18, 31), 16) * 16 >= (1 - ratio) * two56;
}

/** Samples traces; `maxPerSecond` is counted per process. */
export class Sampler {
  readonly #settings: SamplerSettings;
  #second = 0;
  #taken = 0;

  constructor(settings: SamplerSettings) {
    this.#settings = settings;
  }

  /** @param nowMono monotonic milliseconds */
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
