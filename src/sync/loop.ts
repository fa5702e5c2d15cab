// Brings Redis to the state that a source declares, again and again: when the source reports a change, and at an
// interval.
import { setTimeout as wait } from "node:timers/promises";
import { textOf } from "../plugin-api/error-text.ts";
import { type Lease, renewMs } from "./lease.ts";
import type { Outcome } from "./outcome.ts";
import { Reports } from "./reports.ts";
import type { Reconciler } from "./reconcile.ts";
import type { DeclaredSource } from "./source.ts";

export interface LoopOptions {
  readonly source: DeclaredSource;
  readonly lease: Lease;
  readonly reconciler: Reconciler;
  readonly everyMs: number;
  /** Called after each pass. @param problem why there was no pass, or why the source could not be told its outcome */
  readonly onPass: (outcomes: readonly Outcome[] | undefined, problem: string | undefined) => void;
  /** Called when this sync begins or stops to lead, or another leader appears. */
  readonly onLeading: (leads: boolean, other: string | undefined) => void;
}

/** Least time between two passes, however fast changes come. */
const minBetweenMs = 100;
/** First delay of the next pass: sidecars need some time to take a new policy. */
const soonMs = 1_000;

/** Runs until the signal aborts; never rejects. */
export async function runLoop(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const bell = new Bell();
  options.source.start(() => bell.ring(), signal);
  const leading = keepLease(options, bell, signal);
  const reports = new Reports(options.source, signal, () => bell.ring());
  let nextMs = soonMs;
  while (!signal.aborted) {
    const outcomes = options.lease.isHeld ? await onePass(options, signal, reports) : [];
    const isDone = outcomes?.some(isOnItsWay) === false;
    // Backs off: some sidecar may never have the policy in force.
    nextMs = isDone ? soonMs : Math.min(nextMs * 2, options.everyMs);
    await wait(minBetweenMs, undefined, { signal }).catch(() => {});
    await bell.rung(isDone ? options.everyMs : nextMs, signal);
  }
  await Promise.all([leading, reports.ended()]);
  await options.lease.giveUp();
}

const isOnItsWay = ({ state, spread }: Outcome): boolean =>
  state === "waiting" || (spread !== undefined && spread.inForce + spread.refused.length < spread.concerned);

/**
 * Does one pass. @param reports absent: the pass ends when everything is reported @returns undefined = there was no
 * pass
 */
export async function onePass(
  { source, reconciler, onPass }: Pick<LoopOptions, "source" | "reconciler" | "onPass">,
  signal: AbortSignal,
  reports?: Reports,
): Promise<readonly Outcome[] | undefined> {
  let outcomes: readonly Outcome[] | undefined;
  let problem: string | undefined;
  try {
    const declared = await source.read(signal);
    if (declared !== undefined) {
      outcomes = await reconciler.pass(declared, signal);
      if (!signal.aborted) await (reports?.give(outcomes) ?? source.report(outcomes, signal));
      problem = reports?.problem;
    }
  } catch (error) {
    problem = textOf(error);
  }
  if (!signal.aborted) onPass(outcomes, problem);
  return outcomes;
}

async function keepLease({ lease, onLeading }: LoopOptions, bell: Bell, signal: AbortSignal): Promise<void> {
  let told: string | undefined;
  while (!signal.aborted) {
    const leads = await lease.take().catch(() => lease.isHeld);
    const now = leads ? "" : (lease.other ?? "?");
    if (now !== told) {
      told = now;
      onLeading(leads, lease.other);
      if (leads) bell.ring();
    }
    await wait(renewMs, undefined, { signal }).catch(() => {});
  }
}

/** Wakes one waiter; several rings before it waits count as one. */
class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Resolves when it rings, or after `limitMs`. */
  async rung(limitMs: number, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    if (!this.#isRung) {
      this.#wake = () => stop.abort();
      await wait(limitMs, undefined, { signal: AbortSignal.any([signal, stop.signal]) }).catch(() => {});
      this.#wake = undefined;
    }
    this.#isRung = false;
  }
}
