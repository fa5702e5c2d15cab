// What plugins keep beyond a policy (`init`), for each version of a plugin its own. A version that another one has taken
// the place of is disposed of when the last snapshot that uses it has closed.
import type { PluginDefinition, Services } from "../plugin-api/contract.ts";
import type { Logger } from "../plugin-api/services.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

/** Whose state it is. */
interface StateOwner {
  readonly definition: PluginDefinition;
  /** Whether it stays without users until another version comes. */
  readonly lasting: boolean;
}

interface Kept extends StateOwner {
  readonly state: unknown;
  /** Snapshots that use it. */
  users: number;
}

const disposeLimitMs = 10_000;

export class PluginStates {
  readonly #logger: Logger;
  readonly #kept = new Map<PluginDefinition, Kept>();
  /** The version of each plugin that was asked for last. */
  readonly #latest = new Map<string, Kept>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** What one snapshot uses, until it releases it. */
  hold(): HeldStates {
    return new HeldStates(
      (owner, services) => this.#take(owner, services),
      (held) => {
        held.users -= 1;
        this.#sweep(held.definition.name);
      },
    );
  }

  /** Disposes of all that is left, used or not; within its time limits, never rejects. */
  async close(): Promise<void> {
    const all = [...this.#kept.values()];
    this.#kept.clear();
    this.#latest.clear();
    await Promise.all(all.map((kept) => this.#dispose(kept)));
  }

  #take({ definition, lasting }: StateOwner, services: Services): Kept {
    const { name } = definition;
    let kept = this.#kept.get(definition);
    if (kept === undefined) {
      kept = { definition, lasting, state: definition.init?.(services), users: 0 };
      this.#kept.set(definition, kept);
    }
    kept.users += 1;
    if (lasting) this.#latest.set(name, kept);
    this.#sweep(name);
    return kept;
  }

  /** Without users the latest version of a lasting one stays: the next policy will most likely want it. */
  #sweep(name: string): void {
    for (const kept of this.#kept.values()) {
      if (kept.definition.name !== name || kept.users > 0 || this.#latest.get(name) === kept) continue;
      this.#kept.delete(kept.definition);
      void this.#dispose(kept);
    }
  }

  async #dispose({ definition, state }: Kept): Promise<void> {
    try {
      const disposed = (async () => definition.dispose?.(state))();
      await withinLimit(disposed, disposeLimitMs, `dispose took longer than ${disposeLimitMs} ms`);
    } catch (error) {
      const { name: plugin, version } = definition;
      this.#logger.error({ plugin, version, err: error }, "what a plugin kept could not be disposed of");
    }
  }
}

export class HeldStates {
  readonly #take: (owner: StateOwner, services: Services) => Kept;
  readonly #giveBack: (kept: Kept) => void;
  readonly #held = new Map<PluginDefinition, Kept>();

  constructor(take: (owner: StateOwner, services: Services) => Kept, giveBack: (kept: Kept) => void) {
    this.#take = take;
    this.#giveBack = giveBack;
  }

  /** @param services for its `init`, on first use */
  of(owner: StateOwner, services: Services): unknown {
    let kept = this.#held.get(owner.definition);
    if (kept === undefined) this.#held.set(owner.definition, (kept = this.#take(owner, services)));
    return kept.state;
  }

  release(): void {
    for (const kept of this.#held.values()) this.#giveBack(kept);
    this.#held.clear();
  }
}
