// What is known of the store's health: tells of changes only, and lets a start wait for the first answer.

/** A change of state: one a change, not one an attempt. */
export interface ConnectionStateChange {
  /**
   * `commands`: calls are answered. `writes`: none was refused lately. `watches`: changes of keys are told; until then
   * only a poll finds them.
   */
  readonly of: "commands" | "writes" | "watches";
  readonly up: boolean;
  /** Why it is down, or what is missing though it is up: a code word of Redis or of the system, or a short phrase; never data, never a credential. */
  readonly reason: string;
}

export class ConnectionState {
  readonly #onState: ((state: ConnectionStateChange) => void) | undefined;
  readonly #last: Partial<
    Record<ConnectionStateChange["of"], { readonly up: boolean; readonly reason: string }>
  > = {};
  readonly #waiting = new Set<(up: boolean) => void>();
  #closed = false;

  constructor(onState: ((state: ConnectionStateChange) => void) | undefined) {
    this.#onState = onState;
  }

  set(of: ConnectionStateChange["of"], up: boolean, reason: string): void {
    const last = this.#last[of];
    if (this.#closed || (last?.up === up && (up || of === "commands" || last.reason === reason))) return;
    this.#last[of] = { up, reason };
    if (of === "commands" && up) this.#settle(true);
    this.#onState?.({ of, up, reason });
  }

  /** Why changes are not told now; undefined when they are. */
  get unheardBecause(): string | undefined {
    const { watches } = this.#last;
    return watches?.up === true ? undefined : (watches?.reason ?? "not connected yet");
  }

  /** @returns true once calls are answered; false when that took longer, or will not be any more. */
  whenUp(limitMs: number): Promise<boolean> {
    if (this.#closed || this.#last.commands?.up === true) return Promise.resolve(!this.#closed);
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
