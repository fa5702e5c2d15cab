// Brings Redis to what a source declares, again and again: when the source says that something is new, and every so often.
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
  /** After each pass. @param problem why there was none, or why it could not be told to the source */
  readonly onPass: (outcomes: readonly Outcome[] | undefined, problem: string | undefined) => void;
  /** Whether this sync writes, when that changes. */
  readonly onLeading: (leads: boolean, other: string | undefined) => void;
}

/** Between two passes, however fast changes come. */
const minBetweenMs = 100;
/** Until sidecars have had the time to take what is new. */
const soonMs = 1_000;

/** Until the signal; never rejects. */
export async function runLoop(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const bell = new Bell();
  options.source.start(() => bell.ring(), signal);
  const leading = keepLease(options, bell, signal);
  const reports = new Reports(options.source, signal, () => bell.ring());
  let nextMs = soonMs;
  while (!signal.aborted) {
    const outcomes = options.lease.isHeld ? await onePass(options, signal, reports) : [];
    const isDone = outcomes?.some(isOnItsWay) === false;
    // Who never has it in force is not looked for every two seconds for ever.
    nextMs = isDone ? soonMs : Math.min(nextMs * 2, options.everyMs);
    await wait(minBetweenMs, undefined, { signal }).catch(() => {});
    await bell.rung(isDone ? options.everyMs : nextMs, signal);
  }
  await Promise.all([leading, reports.ended()]);
  await options.lease.giveUp();
}

const isOnItsWay = ({ state, spread }: Outcome): boolean =>
  state === "waiting" || (spread !== undefined && spread.inForce + spread.refused.length < spread.concerned);

/** @param reports absent: it ends when all is told to the source @returns undefined = there was none */
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

/** Rings once for all that happens until it is heard. */
class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Resolves when it rings, or after that time. */
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
