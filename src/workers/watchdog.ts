// Looks after the workers once a second: a worker tells its state each second, so one that is silent hangs.
import type { Logger } from "../plugin-api/telemetry.ts";
import type { CommonPolicy } from "./common-policy.ts";
import type { Member } from "./member.ts";

/** A vote goes on without a worker that is silent for as long: one that hangs must not hold a policy up for the others. */
const voteSilenceTicks = 2;
/** One that is silent for as long and has not the policy in force is replaced: it may wake with the old one. */
const behindSilenceTicks = 5;
/** One that is silent for as long is replaced in any case. */
const longestSilenceTicks = 30;

export function lookAfter(members: readonly Member[], policy: CommonPolicy, logger: Logger): void {
  for (const member of members) {
    member.silentTicks += 1;
    const behind = policy.isBehind(member);
    if (behind) member.behindTicks += 1;
    const { number, pid, silentTicks } = member;
    if (silentTicks > voteSilenceTicks && policy.leaveBehind(member)) {
      logger.error(
        { number, pid, silentTicks },
        "a worker does not answer: a new policy does not wait for it",
      );
    }
    // One that still starts has nobody to serve by the old policy, and a busy machine may need long for it.
    const limitTicks = behind && member.serving ? behindSilenceTicks : longestSilenceTicks;
    if (silentTicks <= limitTicks) continue;
    logger.error({ number, pid, behind }, "a worker does not answer and is killed");
    member.kill();
  }
}
