// Long work in slices: requests are served between them.
import { setImmediate as nextTurn } from "node:timers/promises";

/** A slice with the piece of work after it must end well before 20 ms are over. */
const sliceMs = 5;

export class Slices {
  #endsMono = performance.now() + sliceMs;

  /** Whether the slice is used up, so that `next` is due. */
  get over(): boolean {
    return performance.now() >= this.#endsMono;
  }

  /** Lets the event loop turn. */
  async next(): Promise<void> {
    await nextTurn();
    this.#endsMono = performance.now() + sliceMs;
  }
}
