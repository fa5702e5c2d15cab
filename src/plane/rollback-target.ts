// Which revision a rollback restores that names none.
import type { Revision } from "./revision.ts";

/**
 * The one before what is there now. After a rollback that is the one before what it restored: two in a row go back twice,
 * and not to what was rolled back.
 * @param revisions in any order
 * @param current the number of the one that is there; 0 = none
 */
export function revisionBefore(revisions: readonly Revision[], current: number): number {
  const head = revisions.find(({ revision }) => revision === current);
  return before(revisions, head?.kind === "rollback" ? restoredBy(revisions, head) : current);
}

/** Numbers are missing where a relay brought them from another region. */
function before(revisions: readonly Revision[], number: number): number {
  const known = revisions.map(({ revision }) => revision).filter((revision) => revision < number);
  return known.length === 0 ? number - 1 : Math.max(...known);
}

function restoredBy(revisions: readonly Revision[], { revision, digest, reason }: Revision): number {
  const same = revisions
    .filter((each) => each.revision < revision && each.kind !== "rollback" && each.digest === digest)
    .map((each) => each.revision);
  if (same.length > 0) return Math.max(...same);
  // One that was signed anew has other bytes.
  return Number(said.exec(reason)?.[1] ?? revision);
}

const said = /^back to revision (\d+)(?:$|: )/;

/** By which a rollback of that rollback knows what it restored. */
export const rollbackReason = (restored: number, reason = ""): string =>
  `back to revision ${restored}${reason === "" ? "" : `: ${reason}`}`;
