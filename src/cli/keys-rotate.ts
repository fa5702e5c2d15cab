// `outrigger keys rotate ID`: a new key for the same caller, and a date on which the old one ends.
import { parseDuration } from "../language/duration.ts";
import type { Terminal } from "./terminal.ts";
import { withKeyRing } from "./with-key-ring.ts";

/** Prints the new key on stdout, unless an earlier run has. @returns the exit code */
export async function rotateKey(
  terminal: Terminal,
  id: string,
  options: { overlap: string; json?: true },
): Promise<number> {
  const overlapMs = parseDuration(options.overlap);
  if (overlapMs === undefined) {
    terminal.err("--overlap takes a length of time such as 24h, 30m or 0s\n");
    return 2;
  }
  return await withKeyRing(terminal, async (ring) => {
    const { old, record, key } = await ring.rotate(id, overlapMs);
    if (options.json) {
      terminal.out(`${JSON.stringify({ ...(key !== undefined && { key }), ...record, old }, null, 2)}\n`);
      return 0;
    }
    if (key !== undefined) terminal.out(`${key}\n`);
    const shown = key === undefined ? `${id} was rotated before` : "The key is not shown again";
    terminal.err(
      `${shown}: id ${record.id} takes the place of ${id}, which ends ${String(old.expiresAt)}.\n`,
    );
    return 0;
  });
}
