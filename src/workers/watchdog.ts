// Checks the workers once a second: each reports its state every second, so a silent one hangs.
import type { Logger } from "../plugin-api/telemetry.ts";
import type { PolicyCoordinator } from "./policy-coordinator.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** A round goes on without a worker that is silent this long: it must not hold a policy up for the others. */
const prepareSilenceTicks = 2;
/** A worker that is silent this long and lacks the policy in force is replaced: it may wake up with the old policy. */
const behindSilenceTicks = 5;
/** A worker that is silent this long is replaced in any case. */
const maxSilenceTicks = 30;

export function superviseWorkers(
  workers: readonly WorkerHandle[],
  policy: PolicyCoordinator,
  logger: Logger,
): void {
  for (const worker of workers) {
    worker.silentTicks += 1;
    const behind = policy.isBehind(worker);
    if (behind) worker.behindTicks += 1;
    const { number, pid, silentTicks } = worker;
    if (silentTicks > prepareSilenceTicks && policy.exclude(worker)) {
      logger.error(
        { number, pid, silentTicks },
        "worker does not respond; applying the new policy without it",
      );
    }
    // A worker that is still starting serves nothing by the old policy, and a busy machine may take long to start it.
    const limitTicks = behind && worker.serving ? behindSilenceTicks : maxSilenceTicks;
    if (silentTicks <= limitTicks) continue;
    logger.error({ number, pid, behind }, "worker does not respond; killing it");
    worker.kill();
  }
}
