// Removes purged entries from memory, some milliseconds at a time. Until then they take room, but are never found.
import type { MemoryTier } from "../store/memory.ts";

/** Delay from a purge to the walk over all entries, so that all purges within this time need one walk. */
const gatherMs = 100;
const sliceMs = 2;
/** Pause between slices: the walk takes at most a fifth of a core. */
const pauseMs = 8;
/** Entries between two readings of the clock. */
const stride = 32;

export class Clearing {
  readonly #memory: MemoryTier;
  readonly #cleared: () => void;
  #due = false;
  #walk: Generator<void> | undefined = undefined;
  #again = false;

  /** @param cleared called after each slice */
  constructor(memory: MemoryTier, cleared: () => void) {
    this.#memory = memory;
    this.#cleared = cleared;
  }

  /** Starts a walk after the delay; during a walk, another one follows. */
  begin(): void {
    if (this.#walk !== undefined) this.#again = true;
    else if (!this.#due) {
      this.#due = true;
      this.#sliceIn(gatherMs);
    }
  }

  #sliceIn(ms: number): void {
    setTimeout(() => this.#slice(), ms).unref();
  }

  #slice(): void {
    this.#due = false;
    const walk = (this.#walk ??= this.#memory.clear());
    const endMono = performance.now() + sliceMs;
    let over = false;
    do {
      for (let i = 0; i < stride && !over; i += 1) over = walk.next().done === true;
    } while (!over && performance.now() < endMono);
    this.#cleared();
    if (!over) {
      this.#sliceIn(pauseMs);
      return;
    }
    this.#walk = undefined;
    const again = this.#again;
    this.#again = false;
    if (again) this.begin();
  }
}
