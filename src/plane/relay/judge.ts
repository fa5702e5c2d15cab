// Whether a document of the source goes to the target. What is older than what was there already never does: a source that
// lies, or was restored from a backup, is told of, and the target keeps what it has.
import type { Held, Marker } from "./document-pair.ts";

export type Verdict =
  /** Both have the same; `note`: that is to be written down. */
  | { readonly act: "same"; readonly note: boolean }
  | { readonly act: "write" }
  /** The target's was changed there since: it stays until the source has another one. */
  | { readonly act: "diverged"; readonly message: string }
  | { readonly act: "refused"; readonly message: string };

export interface Sides {
  readonly source: Held;
  readonly target: Held;
  readonly marker: Marker | undefined;
  /** Of the source's document, verified; 0 = it was signed without one; undefined = nothing has to be signed. */
  readonly epoch: number | undefined;
  /** Of the target's document, when a key that counts signed it. */
  readonly targetEpoch: number;
  /** Whether the source counts although it is older. */
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

/** The highest epoch that this region has had. */
function floorOf({ target, marker, targetEpoch, nowMs }: Sides): number {
  const told = target.head?.signedEpoch ?? 0;
  // Whoever wrote that key by hand must not keep the source's documents away.
  const believed = told * 1_000 <= nowMs + dayMs ? told : 0;
  return Math.max(believed, marker?.signedEpoch ?? 0, targetEpoch);
}

function bySignature({ source, marker, targetEpoch }: Sides, epoch: number, floor: number): Verdict {
  if (epoch > floor) return { act: "write" };
  if (epoch < floor)
    return refused(
      `the source's is of epoch ${epoch}, and this region has had one of epoch ${floor}: sign the source's anew`,
    );
  // What was relayed has been overwritten here by something that counts less.
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

/** Whether what is kept of the last relay says something else. */
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
