// What was measured: values by scenario, contender and round, with the runs that do not count and why.
export type Metric =
  | "cpuUs"
  /** At a rate that leaves everybody time to sleep between requests. */
  | "pacedCpuUs"
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
  /** Part of the machine's time that others took, by scenario and round. */
  readonly #others = new Map<string, number[]>();
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

  /** @param shareOfOthers part of the machine's time that went to other work during this round, 0 to 1 */
  addRound(scenario: string, round: number, shareOfOthers: number): void {
    const shares = this.#others.get(scenario) ?? [];
    shares[round] = shareOfOthers;
    this.#others.set(scenario, shares);
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

  /** Of the ratios round by round, so that what disturbs a whole round cancels out; of the quieter half of the rounds. */
  ratio(scenario: string, contender: string, to: string, metric: Metric): Summary | undefined {
    return this.#compare(scenario, metric, [contender, to], (value, other) => value / other);
  }

  /** Of the differences round by round, of the quieter half of the rounds. */
  difference(scenario: string, contender: string, to: string, metric: Metric): Summary | undefined {
    return this.#compare(scenario, metric, [contender, to], (value, other) => value - other);
  }

  toJSON(): unknown {
    const values = [...this.#values].map(([key, rounds]) => {
      const [scenario, contender, metric] = JSON.parse(key) as [string, string, string];
      return { scenario, contender, metric, rounds };
    });
    return {
      values,
      shareOfOthers: Object.fromEntries(this.#others),
      leftOut: this.leftOut,
      invalid: this.invalid,
    };
  }

  #compare(
    scenario: string,
    metric: Metric,
    [contender, to]: readonly [string, string],
    compare: (value: number, other: number) => number,
  ): Summary | undefined {
    const others = this.#of(scenario, to, metric);
    const isQuiet = this.#quieterHalf(scenario);
    return summarise(
      this.#of(scenario, contender, metric).map((value, round) => {
        const other = others[round];
        const counts = value !== undefined && other !== undefined && isQuiet(round);
        return counts ? compare(value, other) : undefined;
      }),
    );
  }

  /** Chosen by what others did to the machine meanwhile, never by what came out. */
  #quieterHalf(scenario: string): (round: number) => boolean {
    const shares = this.#others.get(scenario) ?? [];
    const limit = shares.toSorted((a, b) => a - b)[Math.ceil(shares.length / 2) - 1] ?? 0;
    return (round) => (shares[round] ?? 0) <= limit;
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
