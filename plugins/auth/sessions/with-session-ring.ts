// Opens the sessions in Redis for one command.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { SessionRing } from "./session-ring.ts";

/**
 * @param work the command's own part; its result is the exit code
 * @returns the exit code of `work`; 1 when Redis cannot be used; 2 without REDIS_URL
 */
export async function withSessionRing(
  context: CommandContext,
  work: (ring: SessionRing) => Promise<number>,
): Promise<number> {
  const because = "sidecars hear of ended sessions through Redis";
  return await context.withStore({ because }, ({ store }) => work(new SessionRing(store)));
}
