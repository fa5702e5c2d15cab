// Implements `policy apply --canary --wait`: waits until a canary ends, and tells what became of it. What counts is what
// the canary's history says: a candidate that passed is in force only once it is written there as promoted.
import { setTimeout as wait } from "node:timers/promises";
import type { CanaryOrder } from "../canary/order.ts";
import type { CanaryOutcome } from "../plane/canary.ts";
import { OutcomeUnknown } from "../plane/history.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import type { Plane } from "./with-plane.ts";

export interface Waited {
  /** undefined = Redis knows nothing of the canary any more, or never answered. */
  readonly outcome: CanaryOutcome | undefined;
  readonly interrupted: boolean;
  /** Why the last look failed. */
  readonly unread: string | undefined;
}

const betweenMs = 200;

/** Rejects with StoreUnavailable when Redis answers and refuses. */
export async function untilCanaryEnds(
  plane: Plane,
  order: CanaryOrder,
  limitMs: number,
  stop: AbortSignal,
): Promise<Waited> {
  const endsMono = performance.now() + limitMs;
  let outcome: CanaryOutcome | undefined;
  let unread: string | undefined;
  for (;;) {
    // Redis may be away for a moment: the canary outlasts that, and so does the wait.
    try {
      outcome = await plane.canaries.outcome(order);
      unread = undefined;
    } catch (error) {
      const isPassing = error instanceof StoreUnavailable && error.code === undefined;
      // The next look tells whether the change was made.
      if (!isPassing && !(error instanceof OutcomeUnknown)) throw error;
      unread = error.message;
    }
    const isOver = unread === undefined && outcome?.state !== "running";
    if (isOver || performance.now() >= endsMono || stop.aborted) break;
    await wait(betweenMs, undefined, { signal: stop }).catch(() => {});
  }
  return { outcome, unread, interrupted: stop.aborted };
}

/** @returns the exit code: 0 only when the candidate became the policy; 130 when the wait was interrupted */
export function canaryExit({ outcome, interrupted }: Waited): number {
  if (outcome?.state === "promoted") return 0;
  return interrupted && (outcome === undefined || outcome.state === "running") ? 130 : 1;
}

export function printCanaryEnd(
  terminal: Terminal,
  { outcome, unread, interrupted }: Waited,
  json: true | undefined,
): void {
  if (unread !== undefined)
    terminal.err(`what became of the canary cannot be told: Redis: ${printable(unread)}\n`);
  else if (outcome === undefined)
    terminal.err("Redis knows nothing of the canary any more: what became of it cannot be told\n");
  else if (outcome.state === "running")
    terminal.err(
      `${interrupted ? "stopped waiting; the canary" : "it still runs, and"} goes on without this command\n`,
    );
  else if (json !== true) terminal.out(`${printable(`the canary is ${outcome.state}: ${outcome.why}`)}\n`);
}
