// Whether the workers can set a policy up: all that live must say yes, and one must.
import { type Problem, PolicyRefused } from "../policy/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { Member } from "./member.ts";

/** A policy that every worker has set up and none has in force yet. */
export interface PreparedPolicy {
  readonly id: number;
  readonly raw: RawPolicy;
}

/** A worker may die for reasons of its own; when several do, it is the policy. */
const deathsForgiven = 1;

export class Vote {
  readonly policy: PreparedPolicy;
  /** Rejects with PolicyRefused when a worker refuses, or as `cancel` says. */
  readonly outcome: Promise<PreparedPolicy>;
  readonly #waiting = new Set<Member>();
  readonly #willing = new Set<Member>();
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
  ask(member: Member): void {
    this.#waiting.add(member);
    member.asked = this.policy.id;
    member.send({ type: "prepare", ...this.policy });
  }

  heard(member: Member, problems: readonly Problem[]): void {
    if (!this.#waiting.delete(member)) return;
    if (problems.length > 0) {
      this.#reject(new PolicyRefused(problems));
      return;
    }
    this.#willing.add(member);
    this.#settle();
  }

  /** The worker is gone. While none is left the vote waits for the next one. */
  lost(member: Member): void {
    this.#willing.delete(member);
    if (!this.#waiting.delete(member)) return;
    this.#deaths += 1;
    if (this.#deaths > deathsForgiven) {
      this.#reject(new Error("workers ended while they set it up"));
      return;
    }
    this.#settle();
  }

  cancel(reason: string): void {
    this.#reject(new Error(reason));
  }

  #settle(): void {
    if (this.#waiting.size === 0 && this.#willing.size > 0) this.#resolve(this.policy);
  }
}
