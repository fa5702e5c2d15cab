// The prepare phase of a two-phase commit: every live, responsive worker must have set the policy up, and at least one.
import { type Problem, PolicyRefused } from "../policy/document/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { ToWorker } from "./messages.ts";

/** A policy that every worker has set up and none has in force yet. */
export interface PreparedPolicy {
  readonly id: number;
  readonly raw: RawPolicy;
}

/** The part of a worker that a round needs. */
export interface Participant {
  /** The policy that it was last asked to set up. */
  preparing: number;
  send(message: ToWorker): void;
}

/** One worker may exit for an unrelated reason; if more do, the policy is at fault. */
const toleratedExits = 1;

export class PrepareRound {
  readonly policy: PreparedPolicy;
  /** Rejects with PolicyRefused if a worker refuses, or with the reason of `abort`. */
  readonly outcome: Promise<PreparedPolicy>;
  readonly #waiting = new Set<Participant>();
  readonly #prepared = new Set<Participant>();
  readonly #resolve: (policy: PreparedPolicy) => void;
  readonly #reject: (error: Error) => void;
  #exits = 0;

  constructor(policy: PreparedPolicy) {
    this.policy = policy;
    const { promise, resolve, reject } = Promise.withResolvers<PreparedPolicy>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Sends the policy to the worker; from now on the round waits for its response. */
  prepare(participant: Participant): void {
    this.#waiting.add(participant);
    participant.preparing = this.policy.id;
    participant.send({ type: "prepare", ...this.policy });
  }

  onPrepared(participant: Participant, problems: readonly Problem[]): void {
    if (!this.#waiting.delete(participant)) return;
    if (problems.length > 0) {
      this.#reject(new PolicyRefused(problems));
      return;
    }
    this.#prepared.add(participant);
    this.#settle();
  }

  /** The worker exited. If none is left, the round waits for the next one. */
  onExit(participant: Participant): void {
    this.#prepared.delete(participant);
    if (!this.#waiting.delete(participant)) return;
    this.#exits += 1;
    if (this.#exits > toleratedExits) {
      this.#reject(new Error("workers ended while they set it up"));
      return;
    }
    this.#settle();
  }

  /**
   * Goes on without a worker that does not respond: that says nothing against the policy.
   * @returns whether the round was waiting for it
   */
  exclude(participant: Participant): boolean {
    const waited = this.#prepared.size > 0 && this.#waiting.delete(participant);
    if (waited) this.#settle();
    return waited;
  }

  abort(reason: string): void {
    this.#reject(new Error(reason));
  }

  #settle(): void {
    if (this.#waiting.size === 0 && this.#prepared.size > 0) this.#resolve(this.policy);
  }
}
