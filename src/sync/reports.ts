// Reports outcomes to the source in parallel with the passes: one status write that hangs must not delay any policy.
import { setTimeout as wait } from "node:timers/promises";
import { textOf } from "../plugin-api/error-text.ts";
import type { Outcome } from "./outcome.ts";
import type { DeclaredSource } from "./source.ts";

/** A pass waits this long for its report, so that an immediate failure is shown with the pass. */
const waitMs = 500;

export class Reports {
  readonly #source: Pick<DeclaredSource, "report">;
  readonly #signal: AbortSignal;
  /** Called when a report has ended and later outcomes were skipped meanwhile. */
  readonly #onFree: () => void;
  #running: Promise<void> | undefined;
  #isBehind = false;
  /** Why the last report failed. */
  problem: string | undefined;

  constructor(source: Pick<DeclaredSource, "report">, signal: AbortSignal, onFree: () => void) {
    this.#source = source;
    this.#signal = signal;
    this.#onFree = onFree;
  }

  /** Starts a report. Never rejects. If one is still running, these outcomes are skipped, and the next pass reports. */
  async give(outcomes: readonly Outcome[]): Promise<void> {
    if (this.#running !== undefined) this.#isBehind = true;
    else this.#running = this.#run(outcomes);
    const stop = new AbortController();
    await Promise.race([this.#running, wait(waitMs, undefined, { signal: stop.signal }).catch(() => {})]);
    stop.abort();
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(outcomes: readonly Outcome[]): Promise<void> {
    try {
      await this.#source.report(outcomes, this.#signal);
      this.problem = undefined;
    } catch (error) {
      this.problem = textOf(error);
    }
    this.#running = undefined;
    const isBehind = this.#isBehind;
    this.#isBehind = false;
    if (isBehind) this.#onFree();
  }
}
