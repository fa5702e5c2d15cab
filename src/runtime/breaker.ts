// Stops calling what keeps failing: closed -> open after consecutive failures -> one probe -> closed. Synchronous and
// without a timer: it reads the time only when a caller asks whether it may call.

const failuresToOpen = 5;
const firstPauseMs = 1_000;
const maxPauseMs = 30_000;

export interface BreakerEvents {
  onOpen(): void;
  /** @param refused calls since it opened */
  onClose(refused: number): void;
  onRefused(): void;
}

export class Breaker {
  readonly #events: BreakerEvents | undefined;
  #refused = 0;
  #failures = 0;
  #openUntil = 0;
  #pauseMs = firstPauseMs;
  #probing = false;

  constructor(events?: BreakerEvents) {
    this.#events = events;
  }

  /** Whether a call may go through now. While open, one probe passes after each pause. */
  allows(nowMono: number): boolean {
    if (this.#failures < failuresToOpen) return true;
    if (this.#probing || nowMono < this.#openUntil) {
      this.#refused += 1;
      this.#events?.onRefused();
      return false;
    }
    this.#probing = true;
    return true;
  }

  get open(): boolean {
    return this.#failures >= failuresToOpen;
  }

  succeeded(): void {
    if (this.open) {
      this.#events?.onClose(this.#refused);
      this.#refused = 0;
    }
    this.#failures = 0;
    this.#pauseMs = firstPauseMs;
    this.#probing = false;
  }

  failed(nowMono: number): void {
    this.#failures += 1;
    if (this.#failures < failuresToOpen) return;
    if (this.#failures === failuresToOpen) this.#events?.onOpen();
    if (this.#probing) this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
    this.#openUntil = nowMono + this.#pauseMs;
    this.#probing = false;
  }

  /** The call ended for a reason that says nothing about the callee (the client left). */
  withdrawn(): void {
    this.#probing = false;
  }
}
