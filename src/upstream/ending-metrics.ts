import type { Metrics } from "../plugin-api/contract.ts";

/** Metrics whose series can be removed. */
export type EndingMetrics = Metrics & {
  /** Removes the series. */
  forget(name: string, values: readonly string[]): void;
};
