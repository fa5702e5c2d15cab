// Keeps the measured values by scenario, contender and round, with the runs that do not count and the reasons.
export type Metric =
  | "cpuUs"
  /** CPU at a rate that lets every process sleep between requests. */
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

/**
 * If other processes take more than this part of the machine, figures say more about them than about the contenders.
 */
export const judgedUpTo = 0.15;

export interface Round {
  /** Part of the machine's time that other processes took during this round, 0 to 1. */
  readonly shareOfOthers: number;
  /** The start of the contenders that it belongs to, from 0: equal processes differ from start to start. */
  readonly start: number;
}

export class Results {
  readonly #values = new Map<string, (number | undefined)[]>();
  /** Rounds by scenario. */
  readonly #rounds = new Map<string, Round[]>();
  /** Left-out measurements, one line each. */
  readonly leftOut: string[] = [];
  readonly invalid: string[] = [];

  /** @param round counts from 0; contenders of one round ran one after the other */
  add(scenario: string, contender: string, metric: Metric, value: number, round: number): void {
    const key = keyOf(scenario, contender, metric);
    const values = this.#values.get(key) ?? [];
    values[round] = value;
    this.#values.set(key, values);
  }

  addRound(scenario: string, round: number, facts: Round): void {
    const rounds = this.#rounds.get(scenario) ?? [];
    rounds[round] = facts;
    this.#rounds.set(scenario, rounds);
  }

  /**
   * @returns the part of the machine's time that other processes took in the quieter half of its rounds; 0 if it was
   * not measured
   */
  shareOfOthers(scenario: string): number {
    const shares = (this.#rounds.get(scenario) ?? []).map(({ shareOfOthers }) => shareOfOthers);
    return shares.toSorted((a, b) => a - b)[Math.ceil(shares.length / 2) - 1] ?? 0;
  }

  /** Medians of its starts: they show how much equal processes differ. Undefined if it was started once. */
  starts(scenario: string, contender: string, metric: Metric): Summary | undefined {
    const byStart = new Map<number, number[]>();
    for (const [round, value] of this.#of(scenario, contender, metric).entries()) {
      const start = this.#rounds.get(scenario)?.[round]?.start;
      if (value === undefined || start === undefined) continue;
      byStart.set(start, [...(byStart.get(start) ?? []), value]);
    }
    if (byStart.size < 2) return undefined;
    return summarise([...byStart.values()].map((values) => summarise(values)?.median));
  }

  /** Lower quartile divided by lower quartile, of all rounds: other work only adds to what a process needs. */
  quartileRatio(scenario: string, contender: string, to: string, metric: Metric): number | undefined {
    const [value, other] = [contender, to].map((name) => lowerQuartile(this.#of(scenario, name, metric)));
    return value === undefined || other === undefined ? undefined : value / other;
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

  /**
   * Summary of the ratios of each round, so that a disturbance of a whole round cancels out; only of the quieter half
   * of the rounds.
   */
  ratio(scenario: string, contender: string, to: string, metric: Metric): Summary | undefined {
    return this.#compare(scenario, metric, [contender, to], (value, other) => value / other);
  }

  /** Summary of the differences of each round, of the quieter half of the rounds. */
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
      rounds: Object.fromEntries(this.#rounds),
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

  /** Selects rounds by the load from other processes, never by the results. */
  #quieterHalf(scenario: string): (round: number) => boolean {
    const limit = this.shareOfOthers(scenario);
    return (round) => (this.#rounds.get(scenario)?.[round]?.shareOfOthers ?? 0) <= limit;
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

function lowerQuartile(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 4)];
}
