// Keeps all workers on one policy by a two-phase commit: a policy is put in force once every worker has set it up. A
// worker that starts later gets the policy before it may listen.
import { problemText, type Problem } from "../policy/document/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { Logger } from "../plugin-api/telemetry.ts";
import type { WorkerHandle } from "./worker-handle.ts";
import { type PreparedPolicy, PrepareRound } from "./prepare-round.ts";

export class PolicyCoordinator {
  readonly #workers: () => readonly WorkerHandle[];
  readonly #logger: Logger;
  #round: PrepareRound | undefined;
  #inForce: PreparedPolicy | undefined;
  #lastId = 0;
  #open = false;
  #closed = false;

  constructor(workers: () => readonly WorkerHandle[], logger: Logger) {
    this.#workers = workers;
    this.#logger = logger;
  }

  /**
   * Has every worker set the policy up. Rejects with PolicyRefused if one cannot. While no worker lives, it waits for
   * the next one.
   */
  prepare(raw: RawPolicy): Promise<PreparedPolicy> {
    this.#round?.abort("a newer policy came");
    const round = new PrepareRound({ id: ++this.#lastId, raw });
    this.#round = round;
    round.outcome.catch(() => {
      if (this.#round === round) this.abort(round.policy);
    });
    if (this.#closed) round.abort("the sidecar stops");
    this.#advanceAll();
    return round.outcome;
  }

  /** Puts a prepared policy in force in every worker. */
  commit(policy: PreparedPolicy): void {
    this.#round = undefined;
    this.#inForce = policy;
    for (const worker of this.#workers()) {
      // An excluded worker commits later, when it reports that it has set the policy up.
      if (worker.prepared === policy.id) worker.send({ type: "commit", id: policy.id });
    }
    this.#advanceAll();
  }

  /** Discards a prepared policy. */
  abort({ id }: PreparedPolicy): void {
    if (this.#round?.policy.id === id) this.#round = undefined;
    for (const worker of this.#workers()) worker.send({ type: "abort", id });
    this.#advanceAll();
  }

  /** Lets workers listen from now on, with the policy in force or, while there is none, without. */
  open(): void {
    this.#open = true;
    this.#advanceAll();
  }

  close(): void {
    this.#closed = true;
    this.#round?.abort("the sidecar stops");
  }

  /** Whether the worker lacks the policy in force. */
  isBehind(worker: WorkerHandle): boolean {
    return this.#inForce !== undefined && worker.inForce !== this.#inForce.id;
  }

  /** Takes a worker one step further: to the policy being prepared, else to the one in force, then to listening. */
  advance(worker: WorkerHandle): void {
    if (!worker.ready) return;
    const wanted = this.#round?.policy ?? this.#inForce;
    if (wanted !== undefined && worker.inForce !== wanted.id) {
      if (worker.preparing === wanted.id) return;
      if (this.#round === undefined) {
        worker.preparing = wanted.id;
        worker.send({ type: "prepare", ...wanted });
      } else {
        this.#round.prepare(worker);
      }
      return;
    }
    if (!this.#open || worker.toldToServe) return;
    worker.toldToServe = true;
    worker.send({ type: "serve" });
  }

  /** The worker has set a policy up, or failed to. */
  onPrepared(worker: WorkerHandle, id: number, problems: readonly Problem[]): void {
    if (worker.preparing !== id) return;
    if (problems.length === 0) worker.prepared = id;
    if (this.#round?.policy.id === id) {
      this.#round.onPrepared(worker, problems);
    } else if (this.#inForce?.id === id) {
      if (problems.length === 0) {
        worker.send({ type: "commit", id });
        return;
      }
      this.#logger.error(
        { number: worker.number, problems: problems.map(problemText) },
        "worker cannot set up the policy in force; replacing it",
      );
      worker.kill();
    }
  }

  onExit(worker: WorkerHandle): void {
    this.#round?.onExit(worker);
  }

  /** Goes on without a worker that hangs. @returns whether a round was waiting for it */
  exclude(worker: WorkerHandle): boolean {
    return this.#round?.exclude(worker) ?? false;
  }

  #advanceAll(): void {
    for (const worker of this.#workers()) this.advance(worker);
  }
}
