// Shares values (key sources, token checks) between routes and snapshots, one for each digest of the options that it
// depends on. A policy change that keeps those options finds the value again; other options make a new one. A value
// without users is closed.
import { hash } from "node:crypto";

interface Held<T> {
  readonly value: T;
  users: number;
}

export class RefCountedPool<T extends { close(): void }> {
  readonly #held = new Map<string, Held<T>>();

  /**
   * @param facts everything the value depends on, as JSON-able data
   * @returns the value, and `release`, which gives it back; a second call of it does nothing
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
