// `outrigger keys revoke ID`: ends an API key now, at every sidecar within a second.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { withKeyRing } from "./with-key-ring.ts";

/**
 * A second run changes nothing.
 * @returns the exit code
 */
export async function revokeKey(context: CommandContext, { id }: { readonly id: string }): Promise<number> {
  return await withKeyRing(context, async (ring) => {
    const revoked = await ring.revoke(id);
    if (context.json) context.out(`${JSON.stringify({ id, revoked: revoked.length > 0 }, null, 2)}\n`);
    else context.out(revoked.length > 0 ? `${id} is revoked\n` : `${id} was revoked before\n`);
    if (ring.comesBack)
      context.err(
        `its record was signed, and whoever can write Redis can put it back: list ${id} under apiKeys.revoked of the policy\n`,
      );
    return 0;
  });
}
