// All workers on one policy: it is put in force when every worker has set it up, and a worker that comes later gets
// it before it may listen.
import { problemText, type Problem } from "../policy/document/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { Logger } from "../plugin-api/telemetry.ts";
import type { Member } from "./member.ts";
import { type PreparedPolicy, Vote } from "./vote.ts";

export class CommonPolicy {
  readonly #members: () => readonly Member[];
  readonly #logger: Logger;
  #vote: Vote | undefined;
  #inForce: PreparedPolicy | undefined;
  #lastId = 0;
  #open = false;
  #closed = false;

  constructor(members: () => readonly Member[], logger: Logger) {
    this.#members = members;
    this.#logger = logger;
  }

  /**
   * Has every worker set the policy up. Rejects with PolicyRefused when one cannot. While none lives it waits for
   * the next one.
   */
  prepare(raw: RawPolicy): Promise<PreparedPolicy> {
    this.#vote?.cancel("a newer policy came");
    const vote = new Vote({ id: ++this.#lastId, raw });
    this.#vote = vote;
    vote.outcome.catch(() => {
      if (this.#vote === vote) this.discard(vote.policy);
    });
    if (this.#closed) vote.cancel("the sidecar stops");
    this.#advanceAll();
    return vote.outcome;
  }

  /** Puts a prepared policy in force everywhere. */
  commit(policy: PreparedPolicy): void {
    this.#vote = undefined;
    this.#inForce = policy;
    for (const member of this.#members()) {
      // One that was left behind has it put in force when it says that it has set it up.
      if (member.prepared === policy.id) member.send({ type: "commit", id: policy.id });
    }
    this.#advanceAll();
  }

  /** Gives a prepared policy up. */
  discard({ id }: PreparedPolicy): void {
    if (this.#vote?.policy.id === id) this.#vote = undefined;
    for (const member of this.#members()) member.send({ type: "forget", id });
    this.#advanceAll();
  }

  /** From now on workers may listen, with a policy or, while there is none, without. */
  open(): void {
    this.#open = true;
    this.#advanceAll();
  }

  close(): void {
    this.#closed = true;
    this.#vote?.cancel("the sidecar stops");
  }

  /** Whether the worker has what is in force. */
  isBehind(member: Member): boolean {
    return this.#inForce !== undefined && member.inForce !== this.#inForce.id;
  }

  /** Takes a worker a step on: to the policy that is voted on, else to the one in force, then to its listener. */
  advance(member: Member): void {
    if (!member.ready) return;
    const wanted = this.#vote?.policy ?? this.#inForce;
    if (wanted !== undefined && member.inForce !== wanted.id) {
      if (member.asked === wanted.id) return;
      if (this.#vote === undefined) {
        member.asked = wanted.id;
        member.send({ type: "prepare", ...wanted });
      } else {
        this.#vote.ask(member);
      }
      return;
    }
    if (!this.#open || member.called) return;
    member.called = true;
    member.send({ type: "serve" });
  }

  /** The worker has set a policy up, or could not. */
  heard(member: Member, id: number, problems: readonly Problem[]): void {
    if (member.asked !== id) return;
    if (problems.length === 0) member.prepared = id;
    if (this.#vote?.policy.id === id) {
      this.#vote.heard(member, problems);
    } else if (this.#inForce?.id === id) {
      if (problems.length === 0) {
        member.send({ type: "commit", id });
        return;
      }
      this.#logger.error(
        { number: member.number, problems: problems.map(problemText) },
        "a worker cannot set up the policy in force and is replaced",
      );
      member.kill();
    }
  }

  lost(member: Member): void {
    this.#vote?.lost(member);
  }

  /** A worker hangs. @returns whether a vote waited for it; it goes on without */
  leaveBehind(member: Member): boolean {
    return this.#vote?.leaveBehind(member) ?? false;
  }

  #advanceAll(): void {
    for (const member of this.#members()) this.advance(member);
  }
}
