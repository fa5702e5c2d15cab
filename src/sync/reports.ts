// What became of policies, told to the source beside the passes: one status that hangs holds no policy up.
import { setTimeout as wait } from "node:timers/promises";
import { textOf } from "../plugin-api/error-text.ts";
import type { Outcome } from "./outcome.ts";
import type { DeclaredSource } from "./source.ts";

/** A pass waits for its report so long, so that what fails at once is told with it. */
const waitMs = 500;

export class Reports {
  readonly #source: Pick<DeclaredSource, "report">;
  readonly #signal: AbortSignal;
  /** Called when a report has ended that later outcomes waited for. */
  readonly #onFree: () => void;
  #running: Promise<void> | undefined;
  #isBehind = false;
  /** Why the last one failed. */
  problem: string | undefined;

  constructor(source: Pick<DeclaredSource, "report">, signal: AbortSignal, onFree: () => void) {
    this.#source = source;
    this.#signal = signal;
    this.#onFree = onFree;
  }

  /** Never rejects. Where the one before is still under way, these outcomes wait for the next pass. */
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
