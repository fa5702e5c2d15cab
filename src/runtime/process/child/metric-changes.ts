// Sums up the changes of metrics of a plugin in a separate process. They are sent to the sidecar from time to time.
import type { Counter, Gauge, Histogram, Metrics } from "../../../plugin-api/telemetry.ts";
import type { MetricChange } from "../protocol.ts";

/** Observations of one histogram that may wait to be sent; further ones are dropped. */
const maxObservations = 1_000;
const maxSeries = 1_000;

interface Series {
  readonly change: MetricChange;
  readonly numbers: number[];
  changed: boolean;
}

export class MetricChanges implements Metrics {
  readonly #series = new Map<string, Series>();
  readonly #onFirst: () => void;
  #waits = false;

  /** @param onFirst called when the first change since the last `take` is waiting */
  constructor(onFirst: () => void) {
    this.#onFirst = onFirst;
  }

  counter(name: string, help: string, labels: readonly string[] = []): (...values: string[]) => Counter {
    return (...values) => {
      const series = this.#of(["counter", name, help, labels, null, null, values, []]);
      return {
        inc: (by = 1) => {
          series.numbers[0] = (series.numbers[0] ?? 0) + by;
          this.#told(series);
        },
      };
    };
  }

  gauge(
    name: string,
    help: string,
    labels: readonly string[] = [],
    aggregation: string | null = null,
  ): (...values: string[]) => Gauge {
    return (...values) => {
      const series = this.#of(["gauge", name, help, labels, null, aggregation, values, []]);
      return {
        set: (value) => {
          series.numbers[0] = value;
          this.#told(series);
        },
      };
    };
  }

  histogram(
    name: string,
    help: string,
    labels: readonly string[] = [],
    buckets: readonly number[] | null = null,
  ): (...values: string[]) => Histogram {
    return (...values) => {
      const series = this.#of(["histogram", name, help, labels, buckets, null, values, []]);
      return {
        observe: (seconds) => {
          if (series.numbers.length < maxObservations) series.numbers.push(seconds);
          this.#told(series);
        },
      };
    };
  }

  /** @returns the changes since the last call */
  take(): MetricChange[] {
    this.#waits = false;
    const changes: MetricChange[] = [];
    for (const series of this.#series.values()) {
      if (!series.changed) continue;
      const [kind, name, help, labels, buckets, aggregation, values] = series.change;
      changes.push([kind, name, help, labels, buckets, aggregation, values, [...series.numbers]]);
      series.changed = false;
      series.numbers.length = 0;
    }
    return changes;
  }

  #of(change: MetricChange): Series {
    const key = JSON.stringify([change[1], change[6]]);
    let series = this.#series.get(key);
    if (series === undefined) {
      if (this.#series.size >= maxSeries) return { change, numbers: [], changed: false };
      this.#series.set(key, (series = { change, numbers: [], changed: false }));
    }
    return series;
  }

  #told(series: Series): void {
    series.changed = true;
    if (this.#waits) return;
    this.#waits = true;
    this.#onFirst();
  }
}
