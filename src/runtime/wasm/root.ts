// Keeps a configuration that routes share, with the guest that runs it now. After a failure that is a new guest.
import type { MaybePromise } from "../../plugin-api/contract.ts";
import { GuestFailure } from "./guest-host.ts";
import type { Instance } from "./instance.ts";

export class Root {
  readonly configuration: string;
  /** `plugin_root_id`: which plugin of the module the configuration is for, if the module has several. */
  readonly rootId: string;
  /** How many routes use it. */
  users = 0;
  /** Settles when a guest has taken the configuration, or none does. */
  ready: Promise<void> = Promise.resolve();
  #instance: Instance | undefined = undefined;
  #coming: Promise<Instance> | undefined = undefined;
  #absence = "it is not started yet";
  readonly #ids = new WeakMap<Instance, number>();

  constructor(configuration: string, rootId: string) {
    this.configuration = configuration;
    this.rootId = rootId;
  }

  /** @returns the guest. Throws or rejects with GuestFailure when there is none at the moment */
  instance(): MaybePromise<Instance> {
    const instance = this.#instance;
    if (instance !== undefined && instance.alive) return instance;
    if (this.#coming !== undefined) return this.#coming;
    throw new GuestFailure(this.#absence, { began: false });
  }

  /** @returns the number of this root's context in the guest; 0 = none */
  idIn(instance: Instance): number {
    return this.#ids.get(instance) ?? 0;
  }

  /** Notes the number of this root's context in the guest. */
  knownIn(instance: Instance, id: number): void {
    this.#ids.set(instance, id);
  }

  runsIn(instance: Instance): void {
    this.#instance = instance;
    this.#coming = undefined;
  }

  /** A guest is being started. */
  comesIn(coming: Promise<Instance>): void {
    this.#coming = coming;
    // Callers of `instance` get the rejection; without this handler it would also be unhandled.
    coming.catch(() => {});
  }

  isAbsent(why: string): void {
    this.#instance = undefined;
    this.#coming = undefined;
    this.#absence = why;
  }
}
