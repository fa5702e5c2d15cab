// Formats and parses lines of the canary history: the starts and ends of canaries and shadow runs.
import { z } from "zod";
import type { CanaryOrder } from "../canary/order.ts";

const entryShape = z.object({
  atMs: z.number(),
  kind: z.enum(["canary", "shadow", "promoted", "withdrawn", "aborted"]),
  id: z.string(),
  service: z.string().nullable(),
  author: z.string(),
  reason: z.string(),
  digest: z.string(),
});
/** A line of the canary history. */
export type CanaryEntry = z.output<typeof entryShape>;

export function entryOf(
  { id, service, digest }: CanaryOrder,
  kind: CanaryEntry["kind"],
  atMs: number,
  author: string,
  reason: string,
): CanaryEntry {
  return { atMs, kind, id, service, author, reason, digest };
}

export function parseEntry(text: string): CanaryEntry | undefined {
  try {
    return entryShape.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
