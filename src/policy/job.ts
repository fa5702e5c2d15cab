// What a source said, on its way to be in force.
import type { Problem } from "./document/problems.ts";
import { sameDocuments } from "./layers/choose-layer.ts";
import type { SourceReading } from "./sources/source.ts";

export interface Job {
  readonly reading: SourceReading;
  /** What is wrong with its documents of keys. */
  readonly learned: Promise<readonly Problem[]>;
}

/** Other documents do; the same ones, and word that there are none now, can wait. */
export function overtakes({ reading: newer }: Job, { reading: atWork }: Job): boolean {
  return newer.state === "read" && (atWork.state !== "read" || !sameDocuments(newer.raw, atWork.raw));
}
