// What the primary says of its workers together.
import type { WorkerHandle } from "./worker-handle.ts";

/** What /readyz shows of the workers. */
export interface WorkerPoolState {
  /** Whether all of them have served at the same time. */
  readonly up: boolean;
  readonly serving: number;
  /** Serving, and without the policy in force for more than a moment. */
  readonly behind: number;
  readonly inFlight: number;
  /** What plugins say is wrong, by name. */
  readonly troubles: ReadonlyMap<string, string>;
}

/** @param up whether all of them have served at the same time */
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
