// A revision of a policy document as the history keeps it, and how its entries are read: whoever may write the history
// may write anything, so nothing is taken on trust.
import { pairsOf } from "../plugin-api/pairs.ts";
import { z } from "zod";

/** `direct`: by a plain SET or DEL, noticed afterwards; `canary`: one that passed; `shadow`: one that was promoted. */
export type RevisionKind = "apply" | "rollback" | "canary" | "shadow" | "direct";

export interface Revision {
  /** From 1, without gaps, a document. */
  readonly revision: number;
  /** A RevisionKind, or what a newer version calls it. */
  readonly kind: string;
  /** ISO 8601, by Redis' clock. Of a direct change: when it was seen, by `history` or by whatever changes the document next. */
  readonly at: string;
  readonly author: string;
  readonly reason: string;
  /** SHA-256, hex, of the document's bytes, as heartbeats and `/policy` have it (`documents`); "" = the key was deleted. */
  readonly digest: string;
  /** The revision that it was made from; 0 = none. */
  readonly base: number;
  readonly bytes: number;
  readonly deleted: boolean;
  /** Of its signature, as the command that wrote it said; null = it was not signed by a command. */
  readonly signedEpoch: number | null;
  /** `service/instance` of the sidecar whose word this is; null = a command saw the document itself. */
  readonly reporter: string | null;
}

/** The last revision, as the script that refuses a change tells of it. */
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

/** A flat list of names and values. @returns undefined for what is no entry of ours */
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

/** What is kept beside the document. @returns undefined = nothing, or nothing of ours */
export function parseHead(text: string | null): Head | undefined {
  if (text === null) return undefined;
  try {
    return head.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
