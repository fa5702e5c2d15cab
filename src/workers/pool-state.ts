// Sums up the state of all workers for the primary.
import type { WorkerHandle } from "./worker-handle.ts";

/** The state of the workers for /readyz. */
export interface WorkerPoolState {
  /** Whether all workers have served at the same time. */
  readonly up: boolean;
  readonly serving: number;
  /** Workers that serve but have lacked the policy in force for more than a moment. */
  readonly behind: number;
  readonly inFlight: number;
  /** Problems that plugins report, by plugin name. */
  readonly troubles: ReadonlyMap<string, string>;
}

/** @param up whether all workers have served at the same time */
export function poolState(workers: readonly WorkerHandle[], up: boolean): WorkerPoolState {
  const serving = workers.filter((worker) => worker.serving);
  const troubles = serving.flatMap(({ number, troubles }) =>
    troubles.map(([name, trouble]) => [name, `worker ${number}: ${trouble}`] as const),
  );
  return {
    up,
    serving: serving.length,
    behind: serving.filter(({ behindTicks }) => behindTicks > 1).length,
    inFlight: serving.reduce((sum, { inFlight }) => sum + inFlight, 0),
    troubles: new Map(troubles),
  };
}
