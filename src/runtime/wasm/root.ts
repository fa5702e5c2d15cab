// A configuration of a guest, as a route has it: the guest that has it now, which after a failure is another one.
import type { MaybePromise } from "../../plugin-api/contract.ts";
import { GuestFailure } from "./guest-host.ts";
import type { Instance } from "./instance.ts";

export class Root {
  readonly configuration: string;
  /** Which of the plugins in the module it is for, where that has several (`plugin_root_id`). */
  readonly rootId: string;
  /** Routes that have it. */
  users = 0;
  /** Settles when a guest has taken it, or none does. */
  ready: Promise<void> = Promise.resolve();
  #instance: Instance | undefined = undefined;
  #coming: Promise<Instance> | undefined = undefined;
  #absence = "it is not started yet";
  readonly #ids = new WeakMap<Instance, number>();

  constructor(configuration: string, rootId: string) {
    this.configuration = configuration;
    this.rootId = rootId;
  }

  /** @throws GuestFailure, or rejects with one, when there is none for now */
  instance(): MaybePromise<Instance> {
    const instance = this.#instance;
    if (instance !== undefined && instance.alive) return instance;
    if (this.#coming !== undefined) return this.#coming;
    throw new GuestFailure(this.#absence, { began: false });
  }

  /** Number of its context there. */
  idIn(instance: Instance): number {
    return this.#ids.get(instance) ?? 0;
  }

  /** Its context is made there. */
  knownIn(instance: Instance, id: number): void {
    this.#ids.set(instance, id);
  }

  runsIn(instance: Instance): void {
    this.#instance = instance;
    this.#coming = undefined;
  }

  /** It is being started. */
  comesIn(coming: Promise<Instance>): void {
    this.#coming = coming;
    // Whoever waits for it hears of it.
    coming.catch(() => {});
  }

  isAbsent(why: string): void {
    this.#instance = undefined;
    this.#coming = undefined;
    this.#absence = why;
  }
}
