// Counts how long hooks took, in buckets fine enough for quantiles. Distributions of several processes can be added up.
import type { Counter, Histogram } from "../plugin-api/services.ts";

/** Upper bounds in seconds, ascending, and the observations in each bucket; the last count is above every bound. */
export interface Distribution {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

const stepsPerDoubling = 4;
const firstSeconds = 0.000_000_25;
/** From a quarter of a microsecond to 16 s; each bound is 19 % above the one before. */
const fineBounds: readonly number[] = Array.from(
  { length: 26 * stepsPerDoubling + 1 },
  (_, i) => firstSeconds * 2 ** (i / stepsPerDoubling),
);

/** Forwards to a metric's histogram and keeps a finer one of its own. */
export class FineHistogram implements Histogram {
  readonly #metric: Histogram;
  readonly #also: ((seconds: number) => void) | undefined;
  readonly #counts = new Float64Array(fineBounds.length + 1);

  /** @param also is called with each observation too, in seconds */
  constructor(metric: Histogram, also?: (seconds: number) => void) {
    this.#metric = metric;
    this.#also = also;
  }

  observe(seconds: number): void {
    this.#metric.observe(seconds);
    if (Number.isNaN(seconds)) return;
    this.#also?.(seconds);
    const place =
      seconds > firstSeconds ? Math.ceil(Math.log2(seconds / firstSeconds) * stepsPerDoubling) : 0;
    const index = Math.min(place, fineBounds.length);
    this.#counts[index] = (this.#counts[index] as number) + 1;
  }

  distribution(): Distribution {
    return { bounds: fineBounds, counts: [...this.#counts] };
  }
}

const none: Distribution = { bounds: [], counts: [0] };

/** @returns what a histogram has counted; empty if this kind of histogram cannot tell */
export function distributionOf(histogram: Histogram): Distribution {
  return "distribution" in histogram && typeof histogram.distribution === "function"
    ? (histogram.distribution() as Distribution)
    : none;
}

export function countOf(counter: Counter): number {
  return "value" in counter && typeof counter.value === "number" ? counter.value : 0;
}

/** Adds two distributions of the same kind of histogram. The result has the bounds of the longer one. */
export function added(one: Distribution, other: Distribution): Distribution {
  const [longer, shorter] = one.bounds.length >= other.bounds.length ? [one, other] : [other, one];
  const counts = longer.counts.map((count, i) => count + (shorter.counts[i] ?? 0));
  return { bounds: longer.bounds, counts };
}

export const total = ({ counts }: Distribution): number => counts.reduce((sum, count) => sum + count, 0);

/**
 * @param share 0 to 1
 * @returns seconds, interpolated linearly within a bucket; null = nothing was observed
 */
export function quantile({ bounds, counts }: Distribution, share: number): number | null {
  const wanted = total({ bounds, counts }) * share;
  if (wanted === 0) return null;
  let before = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && before + count >= wanted) {
      const from = i === 0 ? 0 : (bounds[i - 1] as number);
      const to = bounds[i] ?? from;
      return from + ((to - from) * (wanted - before)) / count;
    }
    before += count;
  }
  return bounds.at(-1) ?? null;
}
