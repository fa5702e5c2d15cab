// Runs one guest for several configurations, and restarts it when it fails.
import { setTimeout } from "node:timers/promises";
import { textOf } from "../../plugin-api/error-text.ts";
import type { Clock, Logger } from "../../plugin-api/services.ts";
import type { Restarts } from "../restarts.ts";
import { GuestFailure, type GuestHost, type GuestLimits } from "./guest-host.ts";
import { Instance, type InstanceParts } from "./instance.ts";
import type { Root } from "./root.ts";
import type { GuestFacts } from "./shim/state.ts";

export interface GroupParts extends InstanceParts {
  readonly host: () => GuestHost;
  readonly module: Buffer;
  readonly facts: GuestFacts;
  readonly limits: GuestLimits;
  readonly restarts: Restarts;
  /** Called for each restart. */
  readonly onRestart: () => void;
  readonly clock: Pick<Clock, "mono">;
  readonly logger: Logger;
  /** Whether each guest takes only one configuration. */
  readonly isSingle: boolean;
}

/** Requests wait for a guest that restarts within this time. If it takes longer, they get the fail mode. */
const awaitedMs = 1_000;

export class GuestGroup {
  readonly roots = new Set<Root>();
  readonly #parts: GroupParts;
  #instance: Instance | undefined = undefined;
  /** The queue of changes: starts and configurations run one after the other. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Whether the guest has served a configuration that is still in use. */
  #wasWell = false;
  /** Whether the guest is being restarted. */
  #isComing = false;
  /** Removed roots whose end the guest still has to be told. */
  #leaving: Root[] = [];
  #isOver = false;
  #pastCpuMs = 0;

  constructor(parts: GroupParts) {
    this.#parts = parts;
  }

  /** CPU time of all guests so far, in milliseconds; undefined = unknown. */
  get cpuMs(): number | undefined {
    const now = this.#instance?.cpuMs;
    return now === undefined && this.#pastCpuMs === 0 ? undefined : this.#pastCpuMs + (now ?? 0);
  }

  get memoryBytes(): number | undefined {
    return this.#instance?.memoryBytes;
  }

  /** Ends the guest. It is restarted like one that failed. */
  fail(reason: string): void {
    this.#instance?.fail(reason);
  }

  /**
   * Whether this guest may take another configuration. A guest that already serves must not: its requests would have to
   * wait.
   */
  get takesMore(): boolean {
    if (this.#isOver || (this.#parts.isSingle && this.roots.size > 0)) return false;
    return this.#instance?.isUsed !== true && !this.#isComing;
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
    this.#leaving.push(root);
    // Roots of one policy are removed in one turn of the event loop, so they are reported together.
    if (this.roots.size === 0) this.#endLeaving();
    else if (this.#leaving.length === 1) setImmediate(() => this.#endLeaving());
  }

  #endLeaving(): void {
    const instance = this.#instance;
    // Filters of AssemblyScript trap when they are told of a root's end. With no root left, this no longer counts as a
    // failure.
    if (this.roots.size === 0) this.dispose();
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const root of leaving) if (instance?.alive === true) instance.endRoot(root.idIn(instance));
  }

  dispose(): void {
    this.#isOver = true;
    const instance = this.#instance;
    this.#instance = undefined;
    // Calls that tell the guest of ended exchanges and roots run first.
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
    this.#wasWell = true;
    root.runsIn(this.#instance);
  }

  async #load(): Promise<Instance> {
    const { module, facts, limits } = this.#parts;
    const { guest, started } = await this.#parts.host().load(module, facts, limits);
    const instance = new Instance(guest, this.#parts, (failure) => this.#failed(instance, failure));
    instance.started(started);
    return instance;
  }

  async #configure(instance: Instance, root: Root): Promise<void> {
    const id = instance.nextContext();
    root.knownIn(instance, id);
    const taken = await instance.configure(id, `${root.rootId}\0${root.configuration}`);
    if (taken === 2) throw new Error("it refuses to start: proxy_on_vm_start returned false");
    if (taken === 0) throw new Error("it refuses its configuration: proxy_on_configure returned false");
  }

  #failed(instance: Instance, failure: GuestFailure): void {
    // A guest that fails while it starts is reported to the caller that starts it.
    if (this.#isOver || this.#instance !== instance) return;
    this.#instance = undefined;
    this.#pastCpuMs += instance.cpuMs ?? 0;
    if (this.#wasWell) this.#startAgain(failure.message, failure.began);
  }

  /** @param isCounted whether the guest is at fault */
  #startAgain(trap: string, isCounted: boolean): void {
    const { restarts, clock, logger, onRestart } = this.#parts;
    const reason = trap.split("\n")[0] ?? "";
    const delayMs = isCounted ? restarts.nextDelay(reason, clock.mono()) : 0;
    if (delayMs === undefined) {
      for (const root of this.roots) root.isAbsent(`it is quarantined: ${reason}`);
      return;
    }
    logger.error({ reason: trap, delayMs }, "the plugin failed, and is started again");
    onRestart();
    this.#isComing = true;
    const coming = this.#changing.then(async () => {
      await setTimeout(delayMs, undefined, { ref: false });
      return this.#startAll();
    });
    this.#changing = coming.then(
      () => void (this.#isComing = false),
      (error: unknown) => {
        this.#isComing = false;
        if (!this.#isOver) this.#startAgain(textOf(error), true);
      },
    );
    for (const root of this.roots) {
      if (delayMs <= awaitedMs) root.comesIn(coming);
      else root.isAbsent(`it failed, and is started again in ${delayMs} ms: ${reason}`);
    }
  }

  async #startAll(): Promise<Instance> {
    const instance = await this.#load();
    try {
      for (const root of this.roots) await this.#configure(instance, root);
    } catch (error) {
      instance.dispose();
      throw error;
    }
    if (this.#isOver || !instance.alive) {
      instance.dispose();
      throw new GuestFailure("it was ended");
    }
    this.#instance = instance;
    for (const root of this.roots) root.runsIn(instance);
    return instance;
  }
}
