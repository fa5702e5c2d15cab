// The metrics of a sync.
import type { Metrics } from "../plugin-api/telemetry.ts";
import { type Outcome, outcomeStates } from "./outcome.ts";

export interface SyncMetrics {
  readonly changed: () => void;
  readonly passed: (nowMs: number) => void;
  readonly look: (isSourceUp: boolean, leads: boolean, outcomes: readonly Outcome[]) => void;
}

export function createSyncMetrics(metrics: Metrics): SyncMetrics {
  const documents = metrics.gauge(
    "outrigger_sync_documents",
    "Policies that are declared, by what became of them",
    ["state"],
  );
  const changes = metrics.counter(
    "outrigger_sync_changes_total",
    "Changes of policies in Redis by this sync",
  )();
  const sourceUp = metrics.gauge("outrigger_sync_source_up", "Whether what is declared can be read")();
  const leader = metrics.gauge("outrigger_sync_leader", "Whether this sync is the one that writes")();
  const success = metrics.gauge(
    "outrigger_sync_last_success_timestamp_seconds",
    "When what is declared was last compared with Redis, and told of",
  )();
  return {
    changed: () => changes.inc(),
    passed: (nowMs) => success.set(nowMs / 1000),
    look(isSourceUp, leads, outcomes) {
      sourceUp.set(isSourceUp ? 1 : 0);
      leader.set(leads ? 1 : 0);
      for (const state of outcomeStates)
        documents(state).set(outcomes.filter((each) => each.state === state).length);
    },
  };
}
