// A loaded model: a forest, and the function that turns the sum of its leaves into the score.
import type { Forest } from "./forest.ts";

export interface Model {
  readonly format: "XGBoost" | "LightGBM";
  /** Names of the features, by index. */
  readonly features: readonly string[];
  readonly forest: Forest;
  /** XGBoost compares in single precision, so the features are rounded to it. */
  readonly isSingle: boolean;
  /** @param sum of the leaves @returns the score */
  readonly outcome: (sum: number) => number;
}

export const sigmoid = (margin: number): number => 1 / (1 + Math.exp(-margin));

/** @param row by feature; rounded in place for a model in single precision */
export function scoreOf({ forest, isSingle, outcome }: Model, row: Float64Array): number {
  if (isSingle) for (let i = 0; i < row.length; i += 1) row[i] = Math.fround(row[i] as number);
  return outcome(forest.sum(row));
}
