// `outrigger sessions list [--user U]`: lists the browser sessions in Redis, but never a ticket, token or claim.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { durationText } from "../../../src/language/duration.ts";
import { oddText } from "./session-ring.ts";
import { withSessionRing } from "./with-session-ring.ts";

/** @returns the exit code */
export async function listSessions(
  context: CommandContext,
  { user }: { readonly user: string | undefined },
): Promise<number> {
  return await withSessionRing(context, async (ring) => {
    const found = await ring.list(user);
    const { entries, cut } = found;
    context.err(oddText(found) ?? "");
    if (cut) context.err("there are more sessions than were looked at\n");
    if (context.json) {
      const shown = entries.map((entry) => ({ ...entry, at: undefined }));
      context.out(`${JSON.stringify(shown, null, 2)}\n`);
      return 0;
    }
    const nowMs = Date.now();
    const since = (time: string): string => durationText(Math.max(0, nowMs - Date.parse(time)));
    const left = (time: string): string => durationText(Math.max(0, Date.parse(time) - nowMs));
    const rows = entries.map(({ id, userId, service, startedAt, expiresAt, issuer }) => [
      id,
      userId || "?",
      service,
      `${since(startedAt)} ago`,
      `in ${left(expiresAt)}`,
      issuer,
    ]);
    context.table(["ID", "USER", "SERVICE", "BEGAN", "ENDS", "ISSUER"], rows);
    return 0;
  });
}
