// The number that a policy goes by: the history's, where its documents are what the history has last; else the sidecar's
// own count, which goes on from there.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import type { DocumentDigests, PolicyStatus } from "./status.ts";

/** The last revision that the history has of a document. */
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

/** What was in force before. */
interface Numbered {
  readonly numbers: Numbers;
  readonly documents: DocumentDigests;
}

/**
 * @param own the number that it has where the history does not know it
 * @param heads undefined = nobody asked, or nobody may
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

/** @param text what is kept beside a document. @returns undefined for nothing, and for what is none of ours */
export function parseHistoryHead(text: string | undefined): HistoryHead | undefined {
  if (text === undefined) return undefined;
  try {
    return head.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
