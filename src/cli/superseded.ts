// Notices, for `--wait`, that somebody else has changed a document: what is waited for can never come then.
import { setTimeout as wait } from "node:timers/promises";
import type { Plane } from "./with-plane.ts";

export interface Successor {
  /** null = a `SET` past the commands, which nobody has given a revision yet. */
  readonly revision: number | null;
  readonly author: string | null;
}

/** The whole document is read at each look. */
const betweenMs = 1_000;

/**
 * @param digest what was written; "" = deleted
 * @returns undefined once it is stopped. Never rejects: whoever waits tells that Redis is away
 */
export async function superseded(
  { history }: Pick<Plane, "history">,
  service: string | undefined,
  digest: string,
  stop: AbortSignal,
): Promise<Successor | undefined> {
  for (;;) {
    await wait(betweenMs, undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) return undefined;
    const now = await history.peek(service).catch(() => undefined);
    if (now === undefined || now.digest === digest) continue;
    const known = now.recorded ? now.head : undefined;
    return { revision: known?.revision ?? null, author: known?.author ?? null };
  }
}

export function successorText({ revision, author }: Successor): string {
  return revision === null ? "a SET past the commands" : `revision ${revision} by ${author}`;
}
