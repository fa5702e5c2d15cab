// `outrigger keys rotate ID`: makes a new key for the same caller and sets when the old one ends.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { parseDuration } from "../../../src/language/duration.ts";
import { withKeyRing } from "./with-key-ring.ts";

/**
 * Prints the new key on stdout, unless an earlier run already has.
 * @returns the exit code
 */
export async function rotateKey(
  context: CommandContext,
  given: { readonly id: string; readonly overlap: string; readonly key: string | undefined },
): Promise<number> {
  const { id, overlap, key: keyFile } = given;
  const overlapMs = parseDuration(overlap);
  if (overlapMs === undefined) {
    context.err("--overlap takes a length of time such as 24h, 30m or 0s\n");
    return 2;
  }
  return await withKeyRing(
    context,
    async (ring) => {
      const { old, record, key } = await ring.rotate(id, overlapMs);
      if (context.json) {
        context.out(`${JSON.stringify({ ...(key !== undefined && { key }), ...record, old }, null, 2)}\n`);
        return 0;
      }
      if (key !== undefined) context.out(`${key}\n`);
      const shown = key === undefined ? `${id} was rotated before` : "The key is not shown again";
      context.err(
        `${shown}: id ${record.id} takes the place of ${id}, which ends ${String(old.expiresAt)}.\n`,
      );
      return 0;
    },
    keyFile,
  );
}
