// Ends all workers: tells them to drain, waits, and kills those that hang.
import type { Logger } from "../plugin-api/telemetry.ts";
import type { DrainLimits } from "../server/drain.ts";
import type { SharedSocket } from "./shared-socket.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** How long a worker may take after the drain's limit to close and flush. */
const closeGraceMs = 2_000;

/** Resolves when all workers have ended. */
export async function drainWorkers(
  workers: readonly WorkerHandle[],
  socket: SharedSocket,
  limits: DrainLimits,
  logger: Logger,
): Promise<void> {
  const left = new Set(workers);
  const ended = workers.map(async (worker) => {
    if (worker.ready) worker.send({ type: "stop" });
    else worker.kill();
    await worker.ended;
    left.delete(worker);
  });
  const limit = setTimeout(() => {
    for (const worker of left) {
      logger.error({ number: worker.number, pid: worker.pid }, "worker did not drain in time; killing it");
      worker.kill();
    }
  }, limits.maxMs + closeGraceMs);
  await socket.close(workers, limits);
  await Promise.all(ended);
  clearTimeout(limit);
}
