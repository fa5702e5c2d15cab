// Keeps Redis's named lists (`ip-list:<name>`) up to date in memory, one copy of each for all routes of this process.
import { type Clock, type Logger, type Services, type Store, textOf } from "../../src/plugin-api/contract.ts";
import { BadList, readList } from "./list-text.ts";
import { listEntries } from "./metrics.ts";
import type { NetworkSet } from "./network-set.ts";

const prefix = "ip-list:";
/** How often a list is read again while no notifications of changes arrive. */
const againMs = 1_000;
/**
 * After a read, wait at least this many times as long as the read took, so that a long list is not read all the time.
 */
const restFactor = 20;

/** One list. */
export class NamedList {
  readonly name: string;
  readonly #parts: { readonly store: Store; readonly clock: Clock; readonly logger: Logger };
  readonly #entries: { set(value: number): void };
  #set: NetworkSet | undefined = undefined;
  /** Since when the list may have changed unnoticed (monotonic ms); undefined = it is as in Redis. */
  #unsureSince: number | undefined;
  #reading: Promise<void> | undefined = undefined;
  #restsUntil = 0;
  #changed = false;
  #told: string | undefined = undefined;
  users = 0;

  constructor(name: string, services: Services, store: Store) {
    this.name = name;
    this.#parts = { store, clock: services.clock, logger: services.logger };
    this.#entries = listEntries(services.metrics)(name);
    this.#unsureSince = services.clock.mono();
  }

  /**
   * @param staleMs how long the list still counts while it may have changed unnoticed
   * @returns undefined = the content of the list is not known
   */
  current(staleMs: number): NetworkSet | undefined {
    const since = this.#unsureSince;
    return since === undefined || this.#parts.clock.mono() - since <= staleMs ? this.#set : undefined;
  }

  /** What is wrong with the list; undefined = nothing. */
  get flaw(): string | undefined {
    return this.#told;
  }

  /** Notifications about the list may have been lost. */
  doubt(): void {
    this.#unsureSince ??= this.#parts.clock.mono();
  }

  get isUnsure(): boolean {
    return this.#unsureSince !== undefined;
  }

  /** Whether to read the list again because no notifications arrive. */
  get isDue(): boolean {
    return this.isUnsure && this.#parts.clock.mono() >= this.#restsUntil;
  }

  /** Reads the list, and once more if it changes meanwhile. Never rejects. Ends within the store's time limits. */
  read(): Promise<void> {
    this.#changed = true;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    while (this.#changed) {
      this.#changed = false;
      await this.#readOnce();
    }
  }

  async #readOnce(): Promise<void> {
    const { store, clock } = this.#parts;
    const since = clock.mono();
    const heard = store.watching;
    try {
      const set = await readList(store, prefix + this.name);
      this.#set = set;
      this.#entries.set(set?.size ?? 0);
      this.#tell(
        set === undefined ? `there is no key ${prefix}${this.name}: requests are answered 503` : undefined,
      );
      this.#unsureSince = heard && store.watching ? undefined : since;
    } catch (error) {
      if (error instanceof BadList) {
        // As with a refused policy, the last good one stays.
        this.#tell(
          `${prefix}${this.name} ${error.message}: ${this.#set === undefined ? "requests are answered 503" : "the list before it still counts"}`,
        );
        this.#unsureSince = heard && store.watching ? undefined : since;
      } else {
        this.doubt();
        this.#tell(`${prefix}${this.name} cannot be read: ${textOf(error)}`);
      }
    }
    const now = clock.mono();
    this.#restsUntil = now + (now - since) * restFactor;
  }

  /** Logs each problem once. */
  #tell(flaw: string | undefined): void {
    if (flaw === this.#told) return;
    this.#told = flaw;
    const { logger } = this.#parts;
    if (flaw === undefined)
      logger.info({ list: this.name, entries: this.#set?.size }, "list of networks is read");
    else logger.error({ list: this.name }, flaw);
  }
}

/** The lists that the policies in force name. */
export class NamedLists {
  readonly #services: Services;
  readonly #lists = new Map<string, NamedList>();
  #stop: (() => void) | undefined = undefined;

  constructor(services: Services) {
    this.#services = services;
  }

  /** Resolves after the first attempt to read the list. Every `use` needs a `release`. */
  async use(name: string, store: Store): Promise<NamedList> {
    let list = this.#lists.get(name);
    if (list === undefined) {
      list = new NamedList(name, this.#services, store);
      this.#lists.set(name, list);
    }
    list.users += 1;
    this.#stop ??= this.#follow(store);
    if (list.isUnsure) await list.read();
    return list;
  }

  release(list: NamedList): void {
    list.users -= 1;
    if (list.users > 0) return;
    this.#lists.delete(list.name);
    if (this.#lists.size === 0) this.close();
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #follow(store: Store): () => void {
    const unwatch = store.watch(prefix, (key) => {
      if (key !== null) return void this.#lists.get(key.slice(prefix.length))?.read();
      for (const list of this.#lists.values()) {
        list.doubt();
        void list.read();
      }
      return undefined;
    });
    const timer = setInterval(() => {
      for (const list of this.#lists.values()) {
        if (!store.watching) list.doubt();
        if (list.isDue) void list.read();
      }
    }, againMs).unref();
    return () => {
      clearInterval(timer);
      unwatch();
    };
  }
}
