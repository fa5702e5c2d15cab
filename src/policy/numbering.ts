// Numbers a policy: with the history's revision, if the history's latest documents are this policy's. Otherwise with
// the sidecar's own count, which continues from there.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import type { DocumentDigests, PolicyStatus } from "./status.ts";

/** The last revision of a document in the history. */
export interface HistoryHead {
  readonly revision: number;
  /** SHA-256, hex. */
  readonly digest: string;
}

export interface HistoryHeads {
  readonly shared: HistoryHead | undefined;
  readonly layer: HistoryHead | undefined;
}

export type Numbers = Pick<PolicyStatus, "revision" | "revisionFrom" | "layerRevision">;

/** The policy that was in force before. */
interface Numbered {
  readonly numbers: Numbers;
  readonly documents: DocumentDigests;
}

/**
 * @param own the revision if the history does not know the policy
 * @param heads undefined = not read, or not readable for this sidecar
 */
export function numbersOf(
  documents: DocumentDigests,
  heads: HistoryHeads | undefined,
  before: Numbered | undefined,
  own: number,
): Numbers {
  const { numbers } = before ?? {};
  const sharedStays = numbers?.revisionFrom === "history" && before?.documents.shared === documents.shared;
  const layerStays = before?.documents.layer === documents.layer;
  const shared = isLast(heads?.shared, documents.shared) ?? (sharedStays ? numbers.revision : undefined);
  const layer = documents.layer === null ? null : isLast(heads?.layer, documents.layer);
  return {
    revision: shared ?? own,
    revisionFrom: shared === undefined ? "sidecar" : "history",
    layerRevision: layer ?? (layerStays ? (numbers?.layerRevision ?? null) : null),
  };
}

const isLast = (head: HistoryHead | undefined, digest: string): number | undefined =>
  head?.digest === digest ? head.revision : undefined;

const head = z.object({ revision: z.int().min(1), digest: z.string() });

/**
 * @param text the text that is kept beside a document. @returns undefined for no text, and for text in another format
 */
export function parseHistoryHead(text: string | undefined): HistoryHead | undefined {
  if (text === undefined) return undefined;
  try {
    return head.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
