// Measures how far the features of recent requests are from those in the model's training.
import type { Gauge } from "../../src/plugin-api/contract.ts";
import type { Training } from "./models/artefact.ts";

/** The mean covers about this many requests. */
const memory = 1_000;
/** Values are clipped here, so that a client's one absurd number does not distort the mean for hours. */
const maxDeviations = 100;
/** The metric is updated once per this many requests. */
const shownEvery = 100;

interface Followed {
  readonly index: number;
  readonly mean: number;
  readonly deviation: number;
  readonly gauge: Gauge;
  readonly least: number;
  readonly most: number;
  count: number;
  seen: number;
}

export class Drift {
  readonly #followed: readonly Followed[];
  #rows = 0;

  /** @param features names in the model, by index */
  constructor(features: readonly string[], training: Training, gauge: (feature: string) => Gauge) {
    this.#followed = Object.entries(training).map(([name, { mean, deviation }]) => ({
      index: features.indexOf(name),
      mean,
      deviation,
      gauge: gauge(name),
      least: mean - maxDeviations * deviation,
      most: mean + maxDeviations * deviation,
      count: 0,
      seen: 0,
    }));
  }

  saw(row: Float64Array): void {
    if (this.#followed.length === 0) return;
    for (const one of this.#followed) {
      const value = row[one.index] as number;
      if (Number.isNaN(value)) continue;
      one.count = Math.min(one.count + 1, memory);
      one.seen += (Math.min(Math.max(value, one.least), one.most) - one.seen) / one.count;
    }
    this.#rows += 1;
    if (this.#rows % shownEvery !== 0) return;
    for (const { count, seen, mean, deviation, gauge } of this.#followed)
      if (count > 0) gauge.set(Math.abs(seen - mean) / deviation);
  }
}
