// `outrigger sessions revoke ID | --user U`: ends browser sessions now, at every sidecar within a second.
import { oddText } from "./session-ring.ts";
import type { Terminal } from "./terminal.ts";
import { withSessionRing } from "./with-session-ring.ts";

export interface RevokeOptions {
  readonly user?: string;
  readonly json?: true;
}

/** Running it again does no harm. @returns the exit code */
export async function revokeSessions(
  terminal: Terminal,
  id: string | undefined,
  { user, json }: RevokeOptions,
): Promise<number> {
  if ((id === undefined) === (user === undefined)) {
    terminal.err("give the id of a session, or --user\n");
    return 2;
  }
  return await withSessionRing(terminal, async (ring) => {
    if (user !== undefined) {
      const found = await ring.revokeUser(user);
      const revoked = found.entries;
      terminal.err(oddText(found) ?? "");
      if (json)
        terminal.out(`${JSON.stringify({ user, revoked: revoked.map((entry) => entry.id) }, null, 2)}\n`);
      else
        terminal.out(`all sessions of ${user} are ended: ${revoked.length} in Redis, and those in cookies\n`);
      return 0;
    }
    const revoked = await ring.revoke(id as string);
    if (revoked === undefined) {
      terminal.err(`there is no session ${id} in Redis; those in cookies are ended by --user\n`);
      return 1;
    }
    if (json) terminal.out(`${JSON.stringify({ id, user: revoked.userId, revoked: true }, null, 2)}\n`);
    else terminal.out(`session ${id} of ${revoked.userId} is ended\n`);
    return 0;
  });
}
