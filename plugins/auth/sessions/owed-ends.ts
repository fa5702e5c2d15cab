// Logouts that could not be told to the fleet, or written down: told again until it works, so that Redis being away for
// a moment does not leave a session alive that its user has ended. Here such a session is good no more at once.
import type { Services } from "../../../src/plugin-api/contract.ts";

const maxOwed = 1_024;
const firstWaitMs = 250;
const maxWaitMs = 10_000;

interface OwedEnd {
  /** Epoch milliseconds from which the session is over anyhow. */
  readonly untilMs: number;
  /** Rejects while it cannot be told. */
  readonly tell: () => Promise<void>;
}

export class OwedEnds {
  readonly #services: Services;
  /** By the digest of the session's cookie. */
  readonly #owed = new Map<string, OwedEnd>();
  #timer: NodeJS.Timeout | undefined;
  #waitMs = firstWaitMs;

  constructor(services: Services) {
    this.#services = services;
  }

  has(cookieDigest: string): boolean {
    return this.#owed.has(cookieDigest);
  }

  add(cookieDigest: string, end: OwedEnd): void {
    // A logout of the same cookie again: what is owed stays owed.
    this.#owed.delete(cookieDigest);
    this.#owed.set(cookieDigest, end);
    const [oldest] = this.#owed.keys();
    if (this.#owed.size > maxOwed && oldest !== undefined) {
      this.#owed.delete(oldest);
      this.#services.logger.error(
        {},
        `more than ${maxOwed} logouts could not be told to other sidecars: one is given up, and its session lives until it is over`,
      );
    }
    this.#plan();
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#owed.size === 0) return;
    this.#services.logger.error(
      { sessions: this.#owed.size },
      "logouts were not told to other sidecars before this one ended: those sessions live until they are over",
    );
    this.#owed.clear();
  }

  #plan(): void {
    this.#timer ??= setTimeout(() => void this.#tellAll(), this.#waitMs).unref();
  }

  /** Never rejects. One that fails ends the round: the others would fail, too. */
  async #tellAll(): Promise<void> {
    const { clock, logger } = this.#services;
    try {
      for (const [cookieDigest, end] of this.#owed) {
        if (clock.now() < end.untilMs) await end.tell();
        if (this.#owed.get(cookieDigest) === end) this.#owed.delete(cookieDigest);
      }
      this.#waitMs = firstWaitMs;
      logger.info({}, "logouts that were waiting for Redis or the state folder have been told");
    } catch {
      // Said when the logout came.
      this.#waitMs = Math.min(this.#waitMs * 2, maxWaitMs);
    }
    this.#timer = undefined;
    if (this.#owed.size > 0) this.#plan();
  }
}
