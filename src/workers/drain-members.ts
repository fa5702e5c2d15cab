// The end of all workers: told to drain, waited for, and killed when they hang.
import type { Logger } from "../plugin-api/telemetry.ts";
import type { DrainLimits } from "../server/drain.ts";
import type { CommonSocket } from "./common-socket.ts";
import type { Member } from "./member.ts";

/** What a worker may take past the drain's limit to close and flush. */
const closeGraceMs = 2_000;

/** Resolves when all have ended. */
export async function drainMembers(
  members: readonly Member[],
  socket: CommonSocket,
  limits: DrainLimits,
  logger: Logger,
): Promise<void> {
  const left = new Set(members);
  const ended = members.map(async (member) => {
    if (member.ready) member.send({ type: "stop" });
    else member.kill();
    await member.ended;
    left.delete(member);
  });
  const limit = setTimeout(() => {
    for (const member of left) {
      logger.error({ number: member.number, pid: member.pid }, "a worker hangs in its drain and is killed");
      member.kill();
    }
  }, limits.mostMs + closeGraceMs);
  await socket.close(members, limits);
  await Promise.all(ended);
  clearTimeout(limit);
}
