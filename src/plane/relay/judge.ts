// Decides whether a document of the source goes to the target. A document older than what was there never does. If the
// source lies, or was restored from a backup, that is reported, and the target keeps its document.
import type { Held, Marker } from "./document-pair.ts";

export type Verdict =
  /** Both have the same document; `note`: the marker has to be updated. */
  | { readonly act: "same"; readonly note: boolean }
  | { readonly act: "write" }
  /** The target's document was changed there since: it stays until the source has another one. */
  | { readonly act: "diverged"; readonly message: string }
  | { readonly act: "refused"; readonly message: string };

export interface Sides {
  readonly source: Held;
  readonly target: Held;
  readonly marker: Marker | undefined;
  /** Verified epoch of the source's document; 0 = signed without an epoch; undefined = nothing has to be signed. */
  readonly epoch: number | undefined;
  /** Epoch of the target's document, if a key that counts signed it; else 0. */
  readonly targetEpoch: number;
  /** Whether the source wins even if its document is older. */
  readonly takeOver: boolean;
  readonly nowMs: number;
}

const dayMs = 86_400_000;
const refused = (message: string): Verdict => ({ act: "refused", message });
const takeOverHint = 'if the source is to count all the same, run "outrigger relay --take-over" once';

export function judgeDocument(sides: Sides): Verdict {
  const { source, target, marker } = sides;
  if (source.mark === target.mark) return { act: "same", note: isNews(sides) };
  const floor = sides.epoch === undefined ? 0 : floorOf(sides);
  if (floor > 0 || (sides.epoch ?? 0) > 0) return bySignature(sides, sides.epoch ?? 0, floor);
  if (sides.takeOver) return { act: "write" };
  return marker === undefined ? atFirst(source, target) : byRevision(source, marker);
}

/** @returns the highest epoch that this region has had */
function floorOf({ target, marker, targetEpoch, nowMs }: Sides): number {
  const told = target.head?.signedEpoch ?? 0;
  // A `signedEpoch` far in the future was written by hand; it must not block the source's documents.
  const believed = told * 1_000 <= nowMs + dayMs ? told : 0;
  return Math.max(believed, marker?.signedEpoch ?? 0, targetEpoch);
}

function bySignature({ source, marker, targetEpoch }: Sides, epoch: number, floor: number): Verdict {
  if (epoch > floor) return { act: "write" };
  if (epoch < floor)
    return refused(
      `the source's is of epoch ${epoch}, and this region has had one of epoch ${floor}: sign the source's anew`,
    );
  // The relayed document has been overwritten here by one with a lower epoch.
  if (marker?.signedEpoch === epoch && marker.mark === source.mark && targetEpoch < epoch)
    return { act: "write" };
  return refused(
    `the source's is of epoch ${epoch}, as another one that this region has had: sign the source's anew`,
  );
}

function atFirst(source: Held, target: Held): Verdict {
  if (target.mark === "" && target.head === undefined) return { act: "write" };
  const [theirs, ours] = [source.head?.revision ?? 0, target.head?.revision ?? 0];
  if (theirs > ours && target.recorded) return { act: "write" };
  return refused(
    `this region has one of its own (revision ${ours}), and the source's is of revision ${theirs}: ${takeOverHint}`,
  );
}

function byRevision(source: Held, marker: Marker): Verdict {
  const revision = source.head?.revision ?? 0;
  if (revision < marker.revision)
    return refused(
      `the source is at revision ${revision}, and revision ${marker.revision} was relayed before: was it restored from a backup? Apply there until it is past that, or, ${takeOverHint}`,
    );
  if (source.mark === marker.mark)
    return {
      act: "diverged",
      message: "was changed in this region since it was relayed: that stays until the source has another one",
    };
  if (revision === marker.revision && source.recorded && !marker.direct)
    return refused(
      `the source has another document of revision ${revision} than was relayed before: apply it there once more`,
    );
  return { act: "write" };
}

/** Whether the marker of the last relay has to be updated. */
function isNews({ source, marker, epoch = 0 }: Sides): boolean {
  const revision = source.head?.revision ?? 0;
  if (marker === undefined) return source.mark !== "";
  return (
    revision > marker.revision ||
    marker.mark !== source.mark ||
    (marker.direct && source.recorded) ||
    epoch > marker.signedEpoch
  );
}
