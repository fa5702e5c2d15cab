// `outrigger sessions revoke ID | --user U`: ends browser sessions now, at every sidecar within a second.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { oddText } from "./session-ring.ts";
import { withSessionRing } from "./with-session-ring.ts";

export interface RevokeOptions {
  readonly id: string | undefined;
  readonly user: string | undefined;
}

/**
 * A second run does no harm.
 * @returns the exit code
 */
export async function revokeSessions(context: CommandContext, { id, user }: RevokeOptions): Promise<number> {
  if ((id === undefined) === (user === undefined)) {
    context.err("give the id of a session, or --user\n");
    return 2;
  }
  return await withSessionRing(context, async (ring) => {
    if (user !== undefined) {
      const found = await ring.revokeUser(user);
      const revoked = found.entries;
      context.err(oddText(found) ?? "");
      if (context.json)
        context.out(`${JSON.stringify({ user, revoked: revoked.map((entry) => entry.id) }, null, 2)}\n`);
      else
        context.out(`all sessions of ${user} are ended: ${revoked.length} in Redis, and those in cookies\n`);
      return 0;
    }
    const revoked = await ring.revoke(id as string);
    if (revoked === undefined) {
      context.err(`there is no session ${id} in Redis; those in cookies are ended by --user\n`);
      return 1;
    }
    if (context.json)
      context.out(`${JSON.stringify({ id, user: revoked.userId, revoked: true }, null, 2)}\n`);
    else context.out(`session ${id} of ${revoked.userId} is ended\n`);
    return 0;
  });
}
