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
  if (head?.kind !== "rollback") return current - 1;
  const restored = revisions
    .filter(
      ({ revision, kind, digest }) => revision < current && kind !== "rollback" && digest === head.digest,
    )
    .map(({ revision }) => revision);
  if (restored.length > 0) return Math.max(...restored) - 1;
  // One that was signed anew has other bytes.
  const named = Number(/^back to revision (\d+)$/.exec(head.reason)?.[1] ?? current);
  return named - 1;
}
