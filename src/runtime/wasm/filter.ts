// A proxy-wasm module as this process has it: the guests that run it, whatever policies and routes use them.
import type { RuntimeStatus } from "../extension-definition.ts";
import { type GroupParts, GuestGroup } from "./guest-group.ts";
import { Root } from "./root.ts";
import type { GuestFacts } from "./shim/state.ts";

export interface FilterParts extends Omit<GroupParts, "facts" | "onRestart"> {
  /** @param vmConfiguration bytes */
  readonly factsFor: (vmConfiguration: string) => GuestFacts;
}

interface Group {
  readonly vmConfiguration: string;
  readonly guests: GuestGroup;
}

export class Filter {
  readonly #parts: FilterParts;
  #groups: Group[] = [];
  #restarts = 0;

  constructor(parts: FilterParts) {
    this.#parts = parts;
  }

  status(): RuntimeStatus {
    const { quarantined, reason = "it failed" } = this.#parts.restarts;
    return { restarts: this.#restarts, quarantined: quarantined ? reason : undefined };
  }

  /** What an operator should know; undefined = nothing. */
  get trouble(): string | undefined {
    return this.#parts.restarts.trouble;
  }

  /**
   * Routes with the same configuration share it. Rejects when no guest takes it.
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
    for (const { guests } of this.#groups) guests.dispose();
    this.#groups = [];
    this.#parts.restarts.close();
  }

  #add(vmConfiguration: string): Group {
    const onRestart = (): void => void (this.#restarts += 1);
    const facts = this.#parts.factsFor(vmConfiguration);
    const group = { vmConfiguration, guests: new GuestGroup({ ...this.#parts, facts, onRestart }) };
    this.#groups.push(group);
    return group;
  }
}
