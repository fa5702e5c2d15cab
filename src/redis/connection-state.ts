// Tracks the store's health: reports only changes, and lets a start wait for the first answer.

/** A change of state: reported once per change, not per attempt. */
export interface ConnectionStateChange {
  /**
   * `commands`: calls are answered. `writes`: no write was refused lately. `watches`: changes of keys are reported;
   * without that, only a poll finds them.
   */
  readonly of: "commands" | "writes" | "watches";
  readonly up: boolean;
  /**
   * Why it is down, or what is missing although it is up: a code word of Redis or of the system, or a short phrase.
   * Never data, never a credential.
   */
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

  /** Why changes are not reported now; undefined if they are. */
  get unheardBecause(): string | undefined {
    const { watches } = this.#last;
    return watches?.up === true ? undefined : (watches?.reason ?? "not connected yet");
  }

  /** @returns true once calls are answered; false if that takes longer, or will never happen. */
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
