// Remembers which sessions were ended early. All sidecars learn it through Redis. Without Redis, the state folder tells
// the workers of this sidecar, and the sidecar itself after a restart.
import type { LRUCache } from "lru-cache";
import { boundedCache, type KeptLines, type Services } from "../../../src/plugin-api/contract.ts";
import { OwedEnds } from "./owed-ends.ts";
import { endedPrefix as prefix } from "./session-marks.ts";

const maxEnded = 65_536;
/** The least time between two reads of the folder. */
const lookMs = 500;
const idText = /^[\w-]{1,64}$/;

export class EndedSessions {
  readonly #services: Services;
  /** When this process heard of an end (monotonic ms). */
  readonly #ended: LRUCache<string, number>;
  /** Ends that are known only here. */
  readonly #untold = boundedCache<true>(maxEnded);
  /** The latest hearing time of any end that has been evicted from the cache. */
  #forgottenMono = -Infinity;
  readonly owed: OwedEnds;
  readonly #kept: KeptLines | undefined;
  readonly #several: boolean;
  readonly #doubters = new Set<() => void>();
  /** The last read of the folder. `good` once it has succeeded. */
  #look: { readonly mono: number; readonly done: Promise<void>; good: boolean } | undefined;

  /** Stops watching for ends. */
  readonly close: () => void;

  /** One for the process: logins come and go with policies, but an ended session stays ended. */
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

  /**
   * @param doubt is called when a session may have ended unheard: it must forget what is cached
   * @returns a function that unregisters it
   */
  onDoubt(doubt: () => void): () => void {
    this.#doubters.add(doubt);
    return () => this.#doubters.delete(doubt);
  }

  /** Whether other processes may end sessions unheard. Cached sessions then need a new look-up soon. */
  get unheard(): boolean {
    const { store } = this.#services;
    return store === undefined ? this.#kept !== undefined && this.#several : !store.watching;
  }

  /** Whether memory has the end of a session. */
  has(id: string): boolean {
    return this.#ended.has(id);
  }

  /** Whether a session was ended. Rejects with `StoreUnavailable`, or as reading the folder does. */
  async lookUp(id: string): Promise<boolean> {
    if (this.#ended.has(id)) return true;
    const { store } = this.#services;
    if (store !== undefined) return (await store.get(prefix + id)) !== null;
    if (this.#kept === undefined) return false;
    await this.#lookInto(this.#kept);
    return this.#ended.has(id);
  }

  /** Whether an end that was heard after that moment may have been evicted. If so, look the session up again. */
  forgottenSince(mono: number): boolean {
    return this.#forgottenMono >= mono;
  }

  /**
   * Ends a session, here at once. Rejects when the end could not be told to others, or not be written to the folder.
   */
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

  /** Reads the folder. Simultaneous reads share one. */
  async #lookInto(kept: KeptLines): Promise<void> {
    const { clock, logger } = this.#services;
    const last = this.#look;
    // If no other process writes there, one successful read is enough.
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
