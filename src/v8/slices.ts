// Splits long work into slices, so that requests are served between them.
import { setImmediate as nextTurn } from "node:timers/promises";

/** A slice, plus the piece of work that overruns it, must end well before 20 ms. */
const sliceMs = 5;

export class Slices {
  #endsMono = performance.now() + sliceMs;

  /** Whether the slice is used up; then call `next`. */
  get over(): boolean {
    return performance.now() >= this.#endsMono;
  }

  /** Yields to the event loop, then starts the next slice. */
  async next(): Promise<void> {
    await nextTurn();
    this.#endsMono = performance.now() + sliceMs;
  }
}
