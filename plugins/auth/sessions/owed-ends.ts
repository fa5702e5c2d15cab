// Retries logouts that could not be told to the fleet, or not be written down. So a short outage of Redis does not keep
// a session alive that its user has ended. In this process such a session is refused at once.
import type { Services } from "../../../src/plugin-api/contract.ts";

const maxOwed = 1_024;
const firstWaitMs = 250;
const maxWaitMs = 10_000;

interface OwedEnd {
  /** When the session is over anyway (epoch ms). */
  readonly untilMs: number;
  /** Rejects while the logout cannot be told. */
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
    // Moves a repeated logout of the same cookie to the end.
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

  /** Tells all logouts, in order. Never rejects. The first failure ends the round, as the others would fail, too. */
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
      // Not logged here: the logout itself logged it.
      this.#waitMs = Math.min(this.#waitMs * 2, maxWaitMs);
    }
    this.#timer = undefined;
    if (this.#owed.size > 0) this.#plan();
  }
}
