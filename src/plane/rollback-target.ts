// Finds the revision that a rollback restores if it names none.
import type { Revision } from "./revision.ts";

/**
 * @returns the revision before the current one. After a rollback that is the one before the restored revision: two
 * rollbacks in a row go back twice, and do not return to what was rolled back.
 * @param revisions in any order
 * @param current the current revision; 0 = none
 */
export function revisionBefore(revisions: readonly Revision[], current: number): number {
  const head = revisions.find(({ revision }) => revision === current);
  return before(revisions, head?.kind === "rollback" ? restoredBy(revisions, head) : current);
}

/** @returns the next lower known revision. Numbers can be missing if a relay brought revisions from another region. */
function before(revisions: readonly Revision[], number: number): number {
  const known = revisions.map(({ revision }) => revision).filter((revision) => revision < number);
  return known.length === 0 ? number - 1 : Math.max(...known);
}

function restoredBy(revisions: readonly Revision[], { revision, digest, reason }: Revision): number {
  const same = revisions
    .filter((each) => each.revision < revision && each.kind !== "rollback" && each.digest === digest)
    .map((each) => each.revision);
  if (same.length > 0) return Math.max(...same);
  // A document that was signed anew has other bytes.
  return Number(said.exec(reason)?.[1] ?? revision);
}

const said = /^back to revision (\d+)(?:$|: )/;

/** @returns the reason of a rollback; a later rollback reads from it what was restored */
export const rollbackReason = (restored: number, reason = ""): string =>
  `back to revision ${restored}${reason === "" ? "" : `: ${reason}`}`;
