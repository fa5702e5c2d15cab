// Computes what a plugin's process may use, by the policy's entry and the plugin's manifest.
import type { Extension } from "../../extensions/entry.ts";

const mebibyte = 1_048_576;
const defaultAnswerBytes = mebibyte;
/** Heap that the child's own program needs. */
const ownHeapMiB = 16;
/** Room for code, stacks, and memory that V8 has freed but not yet returned. */
const slackMiB = 32;

export interface MemoryLimits {
  readonly memoryMiB: number;
  /** Limit of V8's old generation. */
  readonly oldSpaceMiB: number;
  /** Limit of the growth beyond what the process uses before it takes its bundle. */
  readonly memoryBytes: number;
}

export function memoryOf({ entry, package: { manifest } }: Extension): MemoryLimits {
  const memoryMiB = entry.limits.memoryMiB ?? manifest.needs.memoryMiB;
  return {
    memoryMiB,
    oldSpaceMiB: memoryMiB + ownHeapMiB,
    memoryBytes: (memoryMiB + slackMiB) * mebibyte,
  };
}

/** @returns the limit of a body that the plugin answers with */
export function maxAnswerBytes({ entry, package: { manifest } }: Extension): number {
  return entry.limits.responseBytes ?? manifest.needs.body.responseBytes ?? defaultAnswerBytes;
}

/** @returns the limit of a request body that is read for the plugin; undefined = its manifest asks for none */
export function requestBodyBytes({ entry, package: { manifest } }: Extension): number | undefined {
  const asked = manifest.needs.body.requestBytes;
  return asked === undefined ? undefined : Math.min(asked, entry.limits.requestBytes ?? asked);
}
