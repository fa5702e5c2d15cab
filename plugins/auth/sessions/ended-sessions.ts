// Which sessions were ended before their time: told to all sidecars through Redis; without it, to the workers of this
// one, and to itself after a restart, through its state folder.
import type { LRUCache } from "lru-cache";
import { boundedCache, type KeptLines, type Services } from "../../../src/plugin-api/contract.ts";
import { OwedEnds } from "./owed-ends.ts";
import { endedPrefix as prefix } from "./session-marks.ts";

const maxEnded = 65_536;
/** How often the folder is looked at, at most. */
const lookMs = 500;
const idText = /^[\w-]{1,64}$/;

export class EndedSessions {
  readonly #services: Services;
  /** Monotonic milliseconds at which an end was heard of. */
  readonly #ended: LRUCache<string, number>;
  /** Those of them that are known here alone. */
  readonly #untold = boundedCache<true>(maxEnded);
  /** When the latest of those that are no longer remembered was heard of. */
  #forgottenMono = -Infinity;
  readonly owed: OwedEnds;
  readonly #kept: KeptLines | undefined;
  readonly #several: boolean;
  readonly #doubters = new Set<() => void>();
  /** The last look into the folder; `good` once it told all that was there. */
  #look: { readonly mono: number; readonly done: Promise<void>; good: boolean } | undefined;

  /** Hears of no more ends. */
  readonly close: () => void;

  /** One a process: logins come and go with policies, what was ended stays so. */
  constructor(services: Services) {
    this.#services = services;
    this.owed = new OwedEnds(services);
    this.#ended = boundedCache<number>(maxEnded, (heardMono) => {
      this.#forgottenMono = Math.max(this.#forgottenMono, heardMono);
    });
    const { store, keptLines, logger, fleet } = services;
    this.#several = (fleet.workers ?? 1) > 1;
    this.#kept = store === undefined ? keptLines?.("sessions-ended") : undefined;
    const unwatch = store?.watch(prefix, (key) => {
      if (key === null) for (const doubt of this.#doubters) doubt();
      else if (!key.includes(".")) this.#hear(key.slice(prefix.length));
    });
    this.close = () => {
      unwatch?.();
      this.owed.close();
    };
    if (store === undefined && this.#kept === undefined) {
      const missing =
        "logouts are kept in memory alone, for there is no REDIS_URL and no OUTRIGGER_STATE_DIR";
      logger.warn(
        {},
        `${missing}: other sidecars and workers, and a restart, take a copied session cookie again`,
      );
    }
  }

  /** @param doubt some session may have ended unheard: forget what is known. @returns takes it back */
  onDoubt(doubt: () => void): () => void {
    this.#doubters.add(doubt);
    return () => this.#doubters.delete(doubt);
  }

  /** Others may end sessions unheard: what is known must be asked for again soon. */
  get unheard(): boolean {
    const { store } = this.#services;
    return store === undefined ? this.#kept !== undefined && this.#several : !store.watching;
  }

  /** From memory. */
  has(id: string): boolean {
    return this.#ended.has(id);
  }

  /** Rejects with `StoreUnavailable`, or as the folder does. */
  async lookUp(id: string): Promise<boolean> {
    if (this.#ended.has(id)) return true;
    const { store } = this.#services;
    if (store !== undefined) return (await store.get(prefix + id)) !== null;
    if (this.#kept === undefined) return false;
    await this.#lookInto(this.#kept);
    return this.#ended.has(id);
  }

  /** An end that was heard of after that moment may be remembered no more: to be asked about again. */
  forgottenSince(mono: number): boolean {
    return this.#forgottenMono >= mono;
  }

  /** Here at once. Rejects where it could not be told to others, or be kept. */
  async end(id: string, ttlMs: number): Promise<void> {
    if (this.#ended.has(id) && !this.#untold.has(id)) return;
    this.#hear(id);
    this.#untold.set(id, true);
    const { store, clock } = this.#services;
    await store?.set(prefix + id, "1", { ttlMs });
    await this.#kept?.append(id, clock.now() + ttlMs);
    this.#untold.delete(id);
  }

  #hear(id: string): void {
    if (!this.#ended.has(id)) this.#ended.set(id, this.#services.clock.mono());
  }

  /** Simultaneous looks are one. */
  async #lookInto(kept: KeptLines): Promise<void> {
    const { clock, logger } = this.#services;
    const last = this.#look;
    // Where nobody else writes, one good look has told all.
    const enough = last?.good === true && !this.#several;
    if (last !== undefined && (enough || clock.mono() - last.mono < lookMs)) return await last.done;
    const done = kept.fresh().then((ids) => {
      for (const id of ids) if (idText.test(id)) this.#hear(id);
    });
    const look = { mono: clock.mono(), done, good: false };
    this.#look = look;
    try {
      await done;
      look.good = true;
    } catch (error) {
      logger.warn({ err: error }, "what OUTRIGGER_STATE_DIR says of ended sessions cannot be read");
      throw error;
    }
  }
}
