// A model that is ready to be asked: a forest, and what is done to the sum of its leaves.
import type { Forest } from "./forest.ts";

export interface Model {
  readonly format: "XGBoost" | "LightGBM";
  /** By index. */
  readonly features: readonly string[];
  readonly forest: Forest;
  /** XGBoost compares in single precision: features are rounded to that. */
  readonly isSingle: boolean;
  /** @param sum of the leaves @returns the score */
  readonly outcome: (sum: number) => number;
}

export const sigmoid = (margin: number): number => 1 / (1 + Math.exp(-margin));

/** @param row by feature, rounded in place where the model wants that */
export function scoreOf({ forest, isSingle, outcome }: Model, row: Float64Array): number {
  if (isSingle) for (let i = 0; i < row.length; i += 1) row[i] = Math.fround(row[i] as number);
  return outcome(forest.sum(row));
}
