// Keeps the part of a plugin's cache that is shared with other sidecars, in Redis under the plugin's own keys. No
// method rejects, and none waits for long: a cache slower than the load it saves is useless.
import type { Clock } from "../../../plugin-api/services.ts";
import type { Store, StoreSeal } from "../../../plugin-api/store.ts";
import { Breaker } from "../../breaker.ts";
import { type Entry, entryText, readEntry } from "./entry.ts";

const limitMs = 50;

/** The part of a store that this tier uses. */
export type SharedTier = Pick<Store, "up" | "getBytes" | "set" | "delete">;

export interface StoreTierOptions {
  readonly store: SharedTier;
  /** Prefix of every key; ends in `:`. */
  readonly prefix: string;
  /** Set where only values that a sidecar wrote count. */
  readonly seal: StoreSeal | undefined;
  readonly maxEntryBytes: number;
  readonly clock: Clock;
}

export class StoreTier {
  readonly #options: StoreTierOptions;
  readonly #breaker = new Breaker();

  constructor(options: StoreTierOptions) {
    this.#options = options;
  }

  async get(key: string): Promise<Entry | undefined> {
    const { store, seal, maxEntryBytes, clock } = this.#options;
    const full = this.#options.prefix + key;
    // Room for the seal and the entry's own head, beside the value.
    const most = maxEntryBytes + 1_024;
    const bytes = await this.#ask(() => store.getBytes(full, limitMs, most));
    if (bytes === undefined || bytes === null || bytes.length > most) return undefined;
    const opened = seal === undefined ? bytes : seal.open(full, bytes, clock.now());
    return opened && readEntry(opened.toString(), clock.now());
  }

  async set(key: string, entry: Entry): Promise<void> {
    const { store, seal, clock } = this.#options;
    const ttlMs = Math.ceil(entry.untilMs - clock.now());
    if (ttlMs <= 0) return;
    const full = this.#options.prefix + key;
    const bytes = Buffer.from(entryText(entry));
    const value = seal === undefined ? bytes : seal.seal(full, bytes, entry.untilMs);
    await this.#ask(() => store.set(full, value, { ttlMs, limitMs }));
  }

  async delete(key: string): Promise<void> {
    const { store, prefix } = this.#options;
    await this.#ask(() => store.delete(prefix + key));
  }

  /** @returns undefined when the store was not asked, or did not answer */
  async #ask<Reply>(call: () => Promise<Reply>): Promise<Reply | undefined> {
    const { store, clock } = this.#options;
    if (!store.up || !this.#breaker.allows(clock.mono())) return undefined;
    try {
      const reply = await call();
      this.#breaker.succeeded();
      return reply;
    } catch {
      this.#breaker.failed(clock.mono());
      return undefined;
    }
  }
}
