// Keeps the state that plugins create in `init`, one per version of a plugin. State outlives a policy. Once a newer
// version has replaced an old one, the old state is disposed of when the last snapshot that uses it has closed.
import type { PluginDefinition } from "../plugin-api/contract.ts";
import type { Logger } from "../plugin-api/services.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";
import type { KnownPlugin } from "./known-plugin.ts";
import { isThenable } from "./verdict.ts";

/** The plugin that a state belongs to. */
type StateOwner = Pick<KnownPlugin, "definition" | "faults" | "lasting" | "scoped">;

interface Kept extends StateOwner {
  readonly state: unknown;
  /** How many snapshots use it. */
  users: number;
}

const disposeLimitMs = 10_000;
const handOverLimitMs = 5_000;

export class PluginStates {
  readonly #logger: Logger;
  readonly #kept = new Map<PluginDefinition, Kept>();
  /** The version of each lasting plugin that was requested last. */
  readonly #latest = new Map<string, Kept>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** The states that one snapshot uses, until it releases them. */
  hold(): HeldStates {
    return new HeldStates({
      take: (owner) => this.#take(owner),
      giveBack: (kept) => this.#giveBack(kept),
      handOver: (from, to) => this.#handOver(from, to),
    });
  }

  /** Disposes of all states, used or not. Takes `disposeLimitMs` at most; never rejects. */
  async close(): Promise<void> {
    const all = [...this.#kept.values()];
    this.#kept.clear();
    this.#latest.clear();
    await Promise.all(all.map((kept) => this.#dispose(kept)));
  }

  #take(owner: StateOwner): Kept {
    const { definition, faults, lasting, scoped: services } = owner;
    const { name } = definition;
    let kept = this.#kept.get(definition);
    if (kept === undefined) {
      kept = { definition, faults, lasting, scoped: services, state: initialState(owner), users: 0 };
      this.#kept.set(definition, kept);
    }
    kept.users += 1;
    if (lasting) this.#latest.set(name, kept);
    this.#sweep(name);
    return kept;
  }

  #giveBack(kept: Kept): void {
    kept.users -= 1;
    this.#sweep(kept.definition.name);
  }

  /**
   * Passes exported state from one version to the other. Never throws. Done within the same tick if the plugin's hooks
   * return no promise.
   */
  #handOver(from: Kept, to: Kept): void {
    if (from.definition.exportState === undefined || to.definition.importState === undefined) return;
    const failed = (error: unknown): void => {
      const { name: plugin, version } = to.definition;
      const fields = { plugin, from: from.definition.version, version, err: error };
      this.#logger.error(
        fields,
        "a plugin's state could not be handed over: its new version begins without it",
      );
    };
    try {
      const exported = scoped(from, (definition) => definition.exportState?.(from.state));
      const took = isThenable(exported)
        ? this.#handOverLater(from, to, Promise.resolve(exported))
        : scoped(to, (definition) => definition.importState?.(to.state, exported));
      if (isThenable(took)) took.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  async #handOverLater(from: Kept, to: Kept, exported: Promise<unknown>): Promise<void> {
    from.users += 1;
    to.users += 1;
    try {
      const tooLong = `it took longer than ${handOverLimitMs} ms`;
      await withinLimit(exported, handOverLimitMs, tooLong);
      const state = await exported;
      const took = scoped(to, async (definition) => definition.importState?.(to.state, state));
      await withinLimit(took, handOverLimitMs, tooLong);
    } finally {
      this.#giveBack(from);
      this.#giveBack(to);
    }
  }

  /**
   * Disposes of states without users, except the latest version of a lasting plugin: the next policy will probably need
   * it.
   */
  #sweep(name: string): void {
    for (const kept of this.#kept.values()) {
      if (kept.definition.name !== name || kept.users > 0 || this.#latest.get(name) === kept) continue;
      this.#kept.delete(kept.definition);
      kept.faults.withdraw();
      void this.#dispose(kept);
    }
  }

  async #dispose({ definition, state, scoped: services }: Kept): Promise<void> {
    try {
      const disposed = (async () => definition.dispose?.(state))();
      await withinLimit(disposed, disposeLimitMs, `dispose took longer than ${disposeLimitMs} ms`);
    } catch (error) {
      const { name: plugin, version } = definition;
      this.#logger.error({ plugin, version, err: error }, "what a plugin kept could not be disposed of");
    }
    services.close();
  }
}

function initialState({ definition, scoped: services }: StateOwner): unknown {
  services.open();
  try {
    return definition.init?.(services.common);
  } catch (error) {
    services.close();
    throw error;
  }
}

/** Runs work in the plugin's async scope, so that what it throws later is attributed to the plugin. */
function scoped<T>({ definition, faults }: Kept, work: (definition: PluginDefinition) => T): T {
  return faults.scope().runInAsyncScope(work, undefined, definition);
}

interface StateKeeper {
  take(owner: StateOwner): Kept;
  giveBack(kept: Kept): void;
  handOver(from: Kept, to: Kept): void;
}

export class HeldStates {
  readonly #keeper: StateKeeper;
  readonly #held = new Map<PluginDefinition, Kept>();

  constructor(keeper: StateKeeper) {
    this.#keeper = keeper;
  }

  /** @returns the state of a plugin, which is created on first use */
  of(owner: StateOwner): unknown {
    let kept = this.#held.get(owner.definition);
    if (kept === undefined) this.#held.set(owner.definition, (kept = this.#keeper.take(owner)));
    return kept.state;
  }

  /** @returns the state held for a plugin; undefined = none is held */
  get(definition: PluginDefinition): unknown {
    return this.#held.get(definition)?.state;
  }

  /** For each plugin whose version changed, passes the state that the previous version exports to the new one. */
  takeOver(previous: HeldStates): void {
    const before = new Map([...previous.#held.values()].map((kept) => [kept.definition.name, kept]));
    for (const kept of this.#held.values()) {
      const from = before.get(kept.definition.name);
      if (from !== undefined && from !== kept) this.#keeper.handOver(from, kept);
    }
  }

  release(): void {
    for (const kept of this.#held.values()) this.#keeper.giveBack(kept);
    this.#held.clear();
  }
}
