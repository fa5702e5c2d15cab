// What is known of the store's health: tells of changes only, and lets a start wait for the first answer.

/** A change of state: one a change, not one an attempt. */
export interface StoreState {
  /** `commands`: calls are answered. `watches`: changes of keys are told; until then only a poll finds them. */
  readonly of: "commands" | "watches";
  readonly up: boolean;
  /** Why it is down: a code word of Redis or of the system, or a short phrase; never data, never a credential. */
  readonly reason: string;
}

export class StoreStates {
  readonly #onState: ((state: StoreState) => void) | undefined;
  readonly #last: Partial<Record<StoreState["of"], boolean>> = {};
  readonly #waiting = new Set<(up: boolean) => void>();
  #closed = false;

  constructor(onState: ((state: StoreState) => void) | undefined) {
    this.#onState = onState;
  }

  set(of: StoreState["of"], up: boolean, reason: string): void {
    if (this.#closed || this.#last[of] === up) return;
    this.#last[of] = up;
    if (of === "commands" && up) this.#settle(true);
    this.#onState?.({ of, up, reason: up ? "" : reason });
  }

  /** @returns true once calls are answered; false when that took longer, or will not be any more. */
  whenUp(limitMs: number): Promise<boolean> {
    if (this.#closed || this.#last.commands === true) return Promise.resolve(!this.#closed);
    return new Promise((resolve) => {
      const settle = (up: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        resolve(up);
      };
      const timer = setTimeout(settle, limitMs, false);
      this.#waiting.add(settle);
    });
  }

  close(): void {
    this.#closed = true;
    this.#settle(false);
  }

  #settle(up: boolean): void {
    for (const settle of this.#waiting) settle(up);
  }
}
