// What was measured: values by scenario, contender and round, with the runs that do not count and why.
export type Metric =
  | "cpuUs"
  | "requestsPerSecond"
  | "nsPerKiB"
  | "mbPerCpuSecond"
  | "idleRssMiB"
  | "rssMiB"
  | "p50Ms"
  | "p99Ms"
  | "ms";

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export class Results {
  readonly #values = new Map<string, (number | undefined)[]>();
  /** One line each. */
  readonly leftOut: string[] = [];
  readonly invalid: string[] = [];

  /** @param round counts from 0; contenders of one round ran next to each other */
  add(scenario: string, contender: string, metric: Metric, value: number, round: number): void {
    const key = keyOf(scenario, contender, metric);
    const values = this.#values.get(key) ?? [];
    values[round] = value;
    this.#values.set(key, values);
  }

  /** Contenders with at least one value, in the order in which they were measured. */
  contenders(scenario: string, metric: Metric): string[] {
    return [...this.#values.keys()]
      .map((key) => JSON.parse(key) as [string, string, string])
      .filter(([ofScenario, , ofMetric]) => ofScenario === scenario && ofMetric === metric)
      .map(([, contender]) => contender);
  }

  summary(scenario: string, contender: string, metric: Metric): Summary | undefined {
    return summarise(this.#of(scenario, contender, metric));
  }

  /** Of the ratios round by round, so that what disturbs a whole round cancels out. */
  ratio(scenario: string, contender: string, to: string, metric: Metric): Summary | undefined {
    const others = this.#of(scenario, to, metric);
    return summarise(
      this.#of(scenario, contender, metric).map((value, round) => {
        const other = others[round];
        return value === undefined || other === undefined ? undefined : value / other;
      }),
    );
  }

  toJSON(): unknown {
    const values = [...this.#values].map(([key, rounds]) => {
      const [scenario, contender, metric] = JSON.parse(key) as [string, string, string];
      return { scenario, contender, metric, rounds };
    });
    return { values, leftOut: this.leftOut, invalid: this.invalid };
  }

  #of(scenario: string, contender: string, metric: Metric): readonly (number | undefined)[] {
    return this.#values.get(keyOf(scenario, contender, metric)) ?? [];
  }
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

function summarise(values: readonly (number | undefined)[]): Summary | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return {
    median: ((low as number) + (high as number)) / 2,
    min: sorted[0] as number,
    max: sorted.at(-1) as number,
  };
}
