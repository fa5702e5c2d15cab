// Manages a proxy-wasm module in this process: the guests that run it, shared by all policies and routes.
import type { RuntimeStatus } from "../extension-definition.ts";
import { CpuUse } from "../cpu-use.ts";
import { type GroupParts, GuestGroup } from "./guest-group.ts";
import { Root } from "./root.ts";
import type { GuestFacts } from "./shim/state.ts";

export interface FilterParts extends Omit<GroupParts, "facts" | "onRestart"> {
  /** @param vmConfiguration bytes */
  readonly factsFor: (vmConfiguration: string) => GuestFacts;
  /** CPU cores that all its guests together may use (1 = one core); undefined = no limit. */
  readonly cpuShare?: number | undefined;
}

const measuredMs = 1_000;

interface Group {
  readonly vmConfiguration: string;
  readonly guests: GuestGroup;
}

export class Filter {
  readonly #parts: FilterParts;
  #groups: Group[] = [];
  #restarts = 0;
  #cpu: CpuUse;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: FilterParts) {
    this.#parts = parts;
    this.#cpu = new CpuUse(parts.cpuShare);
    this.#cpu.measured(0, parts.clock.mono());
    this.#timer = setInterval(() => this.#measure(), measuredMs).unref();
  }

  status(): RuntimeStatus {
    const { quarantined, reason = "it failed" } = this.#parts.restarts;
    return {
      restarts: this.#restarts,
      quarantined: quarantined ? reason : undefined,
      memoryBytes: sumOf(this.#groups.map(({ guests }) => guests.memoryBytes)),
      cpuShare: this.#cpu.share,
    };
  }

  /** What an operator should know; undefined = nothing. */
  get trouble(): string | undefined {
    return this.#parts.restarts.trouble;
  }

  /**
   * Finds or creates the root for a configuration; routes with the same configuration share it. Rejects when no guest
   * takes the configuration.
   * @param configuration,vmConfiguration,rootId bytes
   */
  async take(configuration: string, vmConfiguration: string, rootId: string): Promise<Root> {
    const { trouble } = this.#parts.restarts;
    if (trouble !== undefined) throw new Error(trouble);
    const groups = this.#groups.filter((group) => group.vmConfiguration === vmConfiguration);
    for (const { guests } of groups) {
      const known = [...guests.roots].find(
        (root) => root.configuration === configuration && root.rootId === rootId,
      );
      if (known === undefined) continue;
      known.users += 1;
      await known.ready;
      return known;
    }
    const { guests } = groups.find((group) => group.guests.takesMore) ?? this.#add(vmConfiguration);
    const root = new Root(configuration, rootId);
    root.users = 1;
    root.ready = guests.add(root);
    await root.ready;
    return root;
  }

  release(root: Root): void {
    root.users -= 1;
    if (root.users > 0) return;
    for (const { guests } of this.#groups) if (guests.roots.has(root)) guests.remove(root);
    this.#groups = this.#groups.filter(({ guests }) => guests.roots.size > 0);
  }

  dispose(): void {
    clearInterval(this.#timer);
    for (const { guests } of this.#groups) guests.dispose();
    this.#groups = [];
    this.#parts.restarts.close();
  }

  #measure(): void {
    const cpuMs = sumOf(this.#groups.map(({ guests }) => guests.cpuMs));
    const why = this.#cpu.measured(cpuMs, this.#parts.clock.mono());
    if (why === undefined) return;
    for (const { guests } of this.#groups) guests.fail(why);
    // The guests that are started next are measured afresh.
    this.#cpu = new CpuUse(this.#parts.cpuShare);
  }

  #add(vmConfiguration: string): Group {
    const onRestart = (): void => void (this.#restarts += 1);
    const facts = this.#parts.factsFor(vmConfiguration);
    const group = { vmConfiguration, guests: new GuestGroup({ ...this.#parts, facts, onRestart }) };
    this.#groups.push(group);
    return group;
  }
}

/** @returns undefined when no value is known */
function sumOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
}
