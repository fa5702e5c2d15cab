// Records whether the source's policy is in force, when it was last found there, or why it is refused. The same refusal
// is reported once, however often it is read.
import type { PolicyEvents } from "./events.ts";
import type { Problem } from "./document/problems.ts";
import type { RawPolicy } from "./read.ts";
import { digestsOf, type PolicyStatus } from "./status.ts";

export class PolicyOutcome {
  readonly #events: PolicyEvents;
  readonly #clock: { now(): number };
  #lastSuccess: number | undefined;
  #lastError: PolicyStatus["lastError"] = null;
  #lastRejected: string | undefined;
  #lastNotice: string | undefined;

  constructor(events: PolicyEvents, clock: { now(): number }) {
    this.#events = events;
    this.#clock = clock;
  }

  get lastSuccess(): number | undefined {
    return this.#lastSuccess;
  }

  get lastError(): PolicyStatus["lastError"] {
    return this.#lastError;
  }

  succeed(): void {
    this.#lastSuccess = this.#clock.now();
    this.#lastError = null;
    this.#lastRejected = undefined;
  }

  /** @param at ISO 8601; default: now */
  fail(problems: readonly Problem[], at = new Date(this.#clock.now()).toISOString()): void {
    this.#lastError = { at, problems };
  }

  reject(raw: RawPolicy, problems: readonly Problem[]): void {
    this.fail(problems);
    const identity = JSON.stringify([digestsOf(raw), problems]);
    if (identity === this.#lastRejected) return;
    this.#lastRejected = identity;
    this.#events.onRejected(problems);
  }

  /** Reports problems that need attention but do not keep the policy from being in force. */
  notice(problems: readonly Problem[]): void {
    const identity = JSON.stringify(problems);
    if (problems.length > 0 && this.#lastError === null) this.fail(problems);
    if (problems.length > 0 && identity !== this.#lastNotice) this.#events.onNotice?.(problems);
    this.#lastNotice = identity;
  }
}
