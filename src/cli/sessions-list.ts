// `outrigger sessions list [--user U]`: the browser sessions that lie in Redis; never a ticket, token or claim.
import { durationText } from "../language/duration.ts";
import { oddText } from "./session-ring.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { withSessionRing } from "./with-session-ring.ts";

export interface ListOptions {
  readonly user?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function listSessions(terminal: Terminal, { user, json }: ListOptions): Promise<number> {
  return await withSessionRing(terminal, async (ring) => {
    const found = await ring.list(user);
    const { entries, cut } = found;
    terminal.err(oddText(found) ?? "");
    if (cut) terminal.err("there are more sessions than were looked at\n");
    if (json) {
      const shown = entries.map((entry) => ({ ...entry, at: undefined }));
      terminal.out(`${JSON.stringify(shown, null, 2)}\n`);
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
    printTable(terminal, ["ID", "USER", "SERVICE", "BEGAN", "ENDS", "ISSUER"], rows);
    return 0;
  });
}
