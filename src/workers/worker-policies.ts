// The policies of one worker: at most one is set up and waits to be put in force, and one is in force.
import { PolicyRefused, type Problem } from "../policy/document/problems.ts";
import type { PolicyReader } from "../policy/read.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { Serving } from "../app/serving.ts";
import type { PrimaryLink } from "./link.ts";
import type { PreparedPolicy } from "./vote.ts";

export class WorkerPolicies {
  readonly #read: PolicyReader;
  readonly #serving: Serving;
  readonly #link: PrimaryLink;
  /** The policy that was asked for last; 0 = it is not wanted any more. */
  #wanted = 0;
  #ready: { readonly id: number; readonly policy: RoutedPolicy } | undefined;

  constructor(read: PolicyReader, serving: Serving, link: PrimaryLink) {
    this.#read = read;
    this.#serving = serving;
    this.#link = link;
  }

  /** Sets a policy up and says how that went. */
  async prepare({ id, raw }: PreparedPolicy): Promise<void> {
    this.#drop();
    this.#wanted = id;
    let problems: readonly Problem[] = [];
    try {
      const policy = await this.#serving.compile(await this.#read(raw));
      if (this.#wanted !== id) {
        policy.snapshot.retire();
        return;
      }
      this.#ready = { id, policy };
    } catch (error) {
      problems = problemsOf(error);
    }
    void this.#link.send({ type: "prepared", id, problems: [...problems] });
  }

  commit(id: number): void {
    if (this.#ready?.id !== id) return;
    this.#serving.swap(this.#ready.policy);
    this.#ready = undefined;
    void this.#link.send({ type: "inForce", id });
  }

  forget(id: number): void {
    if (this.#wanted === id) this.#drop();
  }

  #drop(): void {
    this.#wanted = 0;
    this.#ready?.policy.snapshot.retire();
    this.#ready = undefined;
  }
}

function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof PolicyRefused) return error.problems;
  return [{ path: "", message: error instanceof Error ? error.message : String(error) }];
}
