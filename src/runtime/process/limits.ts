// What a plugin's process may take, by the policy's entry and the plugin's manifest.
import type { Extension } from "../../extensions/entry.ts";

const mebibyte = 1_048_576;
const defaultAnswerBytes = mebibyte;
/** What the sidecar's own program needs of a process's heap. */
const ownHeapMiB = 16;
/** Code, stacks and what V8 has not given back yet. */
const slackMiB = 32;

export interface MemoryLimits {
  readonly memoryMiB: number;
  /** Of V8's old generation. */
  readonly oldSpaceMiB: number;
  /** Beyond what the process has before it takes its bundle. */
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

/** Of a body that the plugin answers with. */
export function maxAnswerBytes({ entry, package: { manifest } }: Extension): number {
  return entry.limits.responseBytes ?? manifest.needs.body.responseBytes ?? defaultAnswerBytes;
}

/** Of a request's body that is read for it; undefined = its manifest asks for none. */
export function requestBodyBytes({ entry, package: { manifest } }: Extension): number | undefined {
  const asked = manifest.needs.body.requestBytes;
  return asked === undefined ? undefined : Math.min(asked, entry.limits.requestBytes ?? asked);
}
