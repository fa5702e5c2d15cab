// Whether the workers can set a policy up: all that live and answer must say yes, and one must.
import { type Problem, PolicyRefused } from "../policy/document/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { ToWorker } from "./messages.ts";

/** A policy that every worker has set up and none has in force yet. */
export interface PreparedPolicy {
  readonly id: number;
  readonly raw: RawPolicy;
}

/** A worker as far as a vote goes. */
export interface Voter {
  /** The policy that it was last asked to set up. */
  asked: number;
  send(message: ToWorker): void;
}

/** A worker may die for reasons of its own; when several do, it is the policy. */
const deathsForgiven = 1;

export class Vote {
  readonly policy: PreparedPolicy;
  /** Rejects with PolicyRefused when a worker refuses, or as `cancel` says. */
  readonly outcome: Promise<PreparedPolicy>;
  readonly #waiting = new Set<Voter>();
  readonly #willing = new Set<Voter>();
  readonly #resolve: (policy: PreparedPolicy) => void;
  readonly #reject: (error: Error) => void;
  #deaths = 0;

  constructor(policy: PreparedPolicy) {
    this.policy = policy;
    const { promise, resolve, reject } = Promise.withResolvers<PreparedPolicy>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Its answer is needed from now on. */
  ask(voter: Voter): void {
    this.#waiting.add(voter);
    voter.asked = this.policy.id;
    voter.send({ type: "prepare", ...this.policy });
  }

  heard(voter: Voter, problems: readonly Problem[]): void {
    if (!this.#waiting.delete(voter)) return;
    if (problems.length > 0) {
      this.#reject(new PolicyRefused(problems));
      return;
    }
    this.#willing.add(voter);
    this.#settle();
  }

  /** The worker is gone. While none is left the vote waits for the next one. */
  lost(voter: Voter): void {
    this.#willing.delete(voter);
    if (!this.#waiting.delete(voter)) return;
    this.#deaths += 1;
    if (this.#deaths > deathsForgiven) {
      this.#reject(new Error("workers ended while they set it up"));
      return;
    }
    this.#settle();
  }

  /**
   * The worker does not answer, and says nothing against the policy so: those that have set it up go on.
   * @returns whether its answer was waited for
   */
  leaveBehind(voter: Voter): boolean {
    const waited = this.#willing.size > 0 && this.#waiting.delete(voter);
    if (waited) this.#settle();
    return waited;
  }

  cancel(reason: string): void {
    this.#reject(new Error(reason));
  }

  #settle(): void {
    if (this.#waiting.size === 0 && this.#willing.size > 0) this.#resolve(this.policy);
  }
}
