// Stops calling what keeps failing: closed -> open after consecutive failures -> one probe -> closed. Synchronous,
// no timer: the clock is asked when somebody wants through.

const failuresToOpen = 5;
const firstPauseMs = 1_000;
const maxPauseMs = 30_000;

export class Breaker {
  #failures = 0;
  #openUntil = 0;
  #pauseMs = firstPauseMs;
  #probing = false;

  /** Whether a call may go through now. While open, one probe passes after each pause. */
  allows(nowMono: number): boolean {
    if (this.#failures < failuresToOpen) return true;
    if (this.#probing || nowMono < this.#openUntil) return false;
    this.#probing = true;
    return true;
  }

  get open(): boolean {
    return this.#failures >= failuresToOpen;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauseMs = firstPauseMs;
    this.#probing = false;
  }

  failed(nowMono: number): void {
    this.#failures += 1;
    if (this.#failures < failuresToOpen) return;
    if (this.#probing) this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
    this.#openUntil = nowMono + this.#pauseMs;
    this.#probing = false;
  }

  /** The call ended for a reason that says nothing about the callee (the client left). */
  withdrawn(): void {
    this.#probing = false;
  }
}
