// `outrigger keys revoke ID`: ends an API key now, at every sidecar within a second.
import type { Terminal } from "./terminal.ts";
import { withKeyRing } from "./with-key-ring.ts";

/** Running it again changes nothing. @returns the exit code */
export async function revokeKey(terminal: Terminal, id: string, options: { json?: true }): Promise<number> {
  return await withKeyRing(terminal, async (ring) => {
    const revoked = await ring.revoke(id);
    if (options.json) terminal.out(`${JSON.stringify({ id, revoked: revoked.length > 0 }, null, 2)}\n`);
    else terminal.out(revoked.length > 0 ? `${id} is revoked\n` : `${id} was revoked before\n`);
    return 0;
  });
}
