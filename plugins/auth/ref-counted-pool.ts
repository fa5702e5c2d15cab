// Things that several routes and snapshots use together (key sources, token verdicts), one for each digest of the
// options it depends on. A policy change that leaves those options alone finds it again; one that changes them starts
// afresh, and what nobody uses any more is closed.
import { hash } from "node:crypto";

interface Held<T> {
  readonly value: T;
  users: number;
}

export class RefCountedPool<T extends { close(): void }> {
  readonly #held = new Map<string, Held<T>>();

  /**
   * @param facts everything the value depends on, as JSON-able data
   * @param release gives it back, once
   */
  acquire(facts: unknown, make: () => T): { value: T; release: () => void } {
    const digest = hash("sha256", JSON.stringify(facts), "hex");
    let held = this.#held.get(digest);
    if (held === undefined) {
      held = { value: make(), users: 0 };
      this.#held.set(digest, held);
    }
    const taken = held;
    taken.users += 1;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      taken.users -= 1;
      if (taken.users > 0) return;
      this.#held.delete(digest);
      taken.value.close();
    };
    return { value: taken.value, release };
  }

  values(): T[] {
    return [...this.#held.values()].map(({ value }) => value);
  }

  get size(): number {
    return this.#held.size;
  }
}
