// Configurations that share one guest, which is started again when it fails.
import { textOf } from "../../plugin-api/error-text.ts";
import type { Logger } from "../../plugin-api/services.ts";
import { GuestFailure, type GuestHost, type GuestLimits } from "./guest-host.ts";
import { Instance, type InstanceParts } from "./instance.ts";
import type { Restarts } from "./restarts.ts";
import type { Root } from "./root.ts";
import type { GuestFacts } from "./shim/state.ts";

export interface GroupParts extends InstanceParts {
  readonly host: () => Promise<GuestHost>;
  readonly module: Buffer;
  readonly facts: GuestFacts;
  readonly limits: GuestLimits;
  readonly restarts: Restarts;
  readonly logger: Logger;
}

export class GuestGroup {
  readonly roots = new Set<Root>();
  readonly #parts: GroupParts;
  #instance: Instance | undefined = undefined;
  /** What changes it, one after the other. */
  #changing: Promise<unknown> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined = undefined;
  #isOver = false;

  constructor(parts: GroupParts) {
    this.#parts = parts;
  }

  /** Whether a further configuration may have this guest: one that serves already must not wait for it. */
  get takesMore(): boolean {
    return !this.#isOver && this.#instance?.isUsed !== true && this.#restart === undefined;
  }

  /** Rejects when the guest does not start, or does not take the configuration. */
  add(root: Root): Promise<void> {
    this.roots.add(root);
    const added = this.#changing.then(() => this.#add(root));
    this.#changing = added.catch(() => {});
    return added;
  }

  remove(root: Root): void {
    this.roots.delete(root);
    root.isAbsent("no policy has its configuration any more");
    if (this.#instance?.alive === true) this.#instance.endRoot(root.idIn(this.#instance));
    if (this.roots.size === 0) this.dispose();
  }

  dispose(): void {
    this.#isOver = true;
    clearTimeout(this.#restart);
    const instance = this.#instance;
    this.#instance = undefined;
    // What it is to be told of the end is under way.
    if (instance !== undefined) setImmediate(() => setImmediate(() => instance.dispose()));
  }

  async #add(root: Root): Promise<void> {
    try {
      this.#instance ??= await this.#load();
      await this.#configure(this.#instance, root);
    } catch (error) {
      this.roots.delete(root);
      if (this.roots.size === 0) this.dispose();
      throw error;
    }
    if (!this.#instance.alive) throw new GuestFailure("another configuration ended it");
    root.runsIn(this.#instance);
  }

  async #load(): Promise<Instance> {
    const { module, facts, limits } = this.#parts;
    const host = await this.#parts.host();
    const { guest, started } = await host.load(module, facts, limits);
    const instance = new Instance(guest, this.#parts, (failure) => this.#failed(instance, failure));
    instance.started(started);
    return instance;
  }

  async #configure(instance: Instance, root: Root): Promise<void> {
    const id = instance.nextContext();
    root.knownIn(instance, id);
    const taken = await instance.configure(id, root.configuration);
    if (taken === 2) throw new Error("it refuses to start: proxy_on_vm_start returned false");
    if (taken === 0) throw new Error("it refuses its configuration: proxy_on_configure returned false");
  }

  #failed(instance: Instance, failure: GuestFailure): void {
    // One that fails at its start is told of to whoever starts it.
    if (this.#isOver || this.#instance !== instance) return;
    this.#instance = undefined;
    this.#startAgain(failure.message);
  }

  #startAgain(reason: string): void {
    const { restarts, logger } = this.#parts;
    const first = reason.split("\n")[0] ?? "";
    const pauseMs = restarts.failed(first);
    if (pauseMs === undefined) {
      this.#absent(`it is quarantined: ${restarts.quarantined}`);
      logger.error(
        { reason },
        "the plugin failed too often: it is not started again until its package changes",
      );
      return;
    }
    logger.error({ reason, pauseMs }, "the plugin failed, and is started again");
    this.#absent(`it failed, and is started again in ${pauseMs} ms: ${first}`);
    if (pauseMs === 0) this.#begin();
    else this.#restart = setTimeout(() => this.#begin(), pauseMs).unref();
  }

  #begin(): void {
    this.#restart = undefined;
    if (this.#isOver) return;
    const coming = this.#changing.then(() => this.#startAll());
    this.#changing = coming.catch((error: unknown) => {
      if (!this.#isOver) this.#startAgain(textOf(error));
    });
    for (const root of this.roots) root.comesIn(coming);
  }

  async #startAll(): Promise<Instance> {
    const instance = await this.#load();
    try {
      for (const root of this.roots) await this.#configure(instance, root);
    } catch (error) {
      instance.dispose();
      throw error;
    }
    if (this.#isOver) {
      instance.dispose();
      throw new GuestFailure("it was ended");
    }
    this.#instance = instance;
    for (const root of this.roots) root.runsIn(instance);
    return instance;
  }

  #absent(why: string): void {
    for (const root of this.roots) root.isAbsent(why);
  }
}
