// A reading of the source, on its way to being in force.
import type { Problem } from "./document/problems.ts";
import { sameDocuments } from "./layers/choose-layer.ts";
import type { SourceReading } from "./sources/source.ts";

export interface Job {
  readonly reading: SourceReading;
  /** Problems with the source's key documents. */
  readonly learned: Promise<readonly Problem[]>;
}

/** Whether the newer reading replaces the work in progress. Other documents do. The same ones, or none, can wait. */
export function overtakes({ reading: newer }: Job, { reading: atWork }: Job): boolean {
  return newer.state === "read" && (atWork.state !== "read" || !sameDocuments(newer.raw, atWork.raw));
}
