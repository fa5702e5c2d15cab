// Parses the revisions of a policy document in the history. A writer of the history may write anything, so its entries
// are not trusted.
import { pairsOf } from "../plugin-api/pairs.ts";
import { z } from "zod";

/**
 * `direct`: a plain SET or DEL, noticed afterwards; `canary`: a canary that passed; `shadow`: a shadow run that was
 * promoted.
 */
export type RevisionKind = "apply" | "rollback" | "canary" | "shadow" | "direct";

export interface Revision {
  /** Counted from 1 for each document. A relay from another region may leave gaps. */
  readonly revision: number;
  /** A RevisionKind, or another name from a newer version. */
  readonly kind: string;
  /**
   * ISO 8601, by Redis' clock. For a direct change: when `history`, or the next command that changes the document, saw
   * it.
   */
  readonly at: string;
  readonly author: string;
  readonly reason: string;
  /**
   * SHA-256, in hex, of the document's bytes, as in heartbeats and `/policy` (`documents`); "" = the key was deleted.
   */
  readonly digest: string;
  /** The revision that the change was made from; 0 = none. */
  readonly base: number;
  readonly bytes: number;
  readonly deleted: boolean;
  /** Epoch of its signature, as the writing command stated it; null = it was not signed by a command. */
  readonly signedEpoch: number | null;
  /** `service/instance` of the sidecar that reported it; null = a command saw the document itself. */
  readonly reporter: string | null;
}

/** The last revision, as the change script keeps it beside the document. */
export interface Head {
  readonly revision: number;
  readonly at: string;
  readonly author: string;
  readonly reason: string;
  readonly digest: string;
  readonly kind: string;
  readonly id: string;
  /** The highest epoch that a command has signed with. */
  readonly signedEpoch: number;
}

const count = z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const time = z.coerce
  .number()
  .min(0)
  .max(8.64e15)
  .transform((ms) => new Date(ms).toISOString());
const entry = z.object({
  revision: count,
  kind: z.string(),
  at: time,
  author: z.string(),
  reason: z.string().default(""),
  digest: z.string(),
  base: count,
  bytes: count,
  deleted: z
    .string()
    .default("")
    .transform((text) => text === "1"),
  signed: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER).nullable().catch(null),
  reporter: z
    .string()
    .default("")
    .transform((text) => (text === "" ? null : text)),
});
const head = z.object({
  revision: z.number(),
  at: time.catch(""),
  author: z.string().catch(""),
  reason: z.string().catch(""),
  digest: z.string().catch(""),
  kind: z.string().catch(""),
  id: z.string().catch(""),
  signedEpoch: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).catch(0),
});

/** @param list names and values. @returns undefined for a list that is not an entry */
export function parseEntry(
  list: unknown,
): (Revision & { readonly document: string | undefined }) | undefined {
  if (!Array.isArray(list) || list.length === 0) return undefined;
  const fields = new Map<string, string>();
  for (const [name, value] of pairsOf(list as unknown[])) fields.set(String(name), String(value));
  const parsed = entry.safeParse(Object.fromEntries(fields)).data;
  if (parsed === undefined) return undefined;
  const { signed: signedEpoch, ...facts } = parsed;
  return { ...facts, signedEpoch, document: fields.get("document") };
}

/** Parses the text that is kept beside the document. @returns undefined = no text, or another format */
export function parseHead(text: string | null): Head | undefined {
  if (text === null) return undefined;
  try {
    return head.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
