// A worker's part of the two-phase commit: at most one policy is prepared and waits for its commit, and one is in
// force.
import { type Problem, problemsOf } from "../policy/document/problems.ts";
import type { EffectivePolicy, PolicyReader } from "../policy/read.ts";
import type { IpcChannel } from "./ipc-channel.ts";
import type { PreparedPolicy } from "./prepare-round.ts";

/** Compiles policies and puts them in force. */
export interface PolicyTarget<Compiled> {
  compile(policy: EffectivePolicy): Promise<Compiled>;
  swap(compiled: Compiled): void;
  release(compiled: Compiled): void;
}

export class WorkerPolicies<Compiled> {
  readonly #read: PolicyReader;
  readonly #target: PolicyTarget<Compiled>;
  readonly #channel: IpcChannel;
  /** The id of the policy that was asked for last; 0 = it was aborted. */
  #wanted = 0;
  #reading = new AbortController();
  #ready: { readonly id: number; readonly policy: Compiled } | undefined;

  constructor(read: PolicyReader, target: PolicyTarget<Compiled>, channel: IpcChannel) {
    this.#read = read;
    this.#target = target;
    this.#channel = channel;
  }

  /** Sets a policy up and reports the result. */
  async prepare({ id, raw }: PreparedPolicy): Promise<void> {
    this.#drop();
    this.#wanted = id;
    const { signal } = this.#reading;
    let problems: readonly Problem[] = [];
    try {
      const policy = await this.#target.compile(await this.#read(raw, signal));
      if (this.#wanted !== id) {
        this.#target.release(policy);
        return;
      }
      this.#ready = { id, policy };
    } catch (error) {
      if (signal.aborted) return;
      problems = problemsOf(error);
    }
    void this.#channel.send({ type: "prepared", id, problems: [...problems] });
  }

  commit(id: number): void {
    if (this.#ready?.id !== id) return;
    this.#target.swap(this.#ready.policy);
    this.#ready = undefined;
    void this.#channel.send({ type: "inForce", id });
  }

  abort(id: number): void {
    if (this.#wanted === id) this.#drop();
  }

  #drop(): void {
    this.#wanted = 0;
    this.#reading.abort();
    this.#reading = new AbortController();
    if (this.#ready !== undefined) this.#target.release(this.#ready.policy);
    this.#ready = undefined;
  }
}
