// Named lists in Redis (`ip-list:<name>`), one of each for all routes of this process, kept as they are there.
import { type Clock, type Logger, type Services, type Store, textOf } from "../../src/plugin-api/contract.ts";
import { BadList, readList } from "./list-text.ts";
import { listEntries } from "./metrics.ts";
import type { NetworkSet } from "./network-set.ts";

const prefix = "ip-list:";
/** How often a list is read again while changes are not heard. */
const againMs = 1_000;
/** And so many times longer than reading it took: a long list is not read all the time. */
const restFactor = 20;

/** One list. */
export class NamedList {
  readonly name: string;
  readonly #parts: { readonly store: Store; readonly clock: Clock; readonly logger: Logger };
  readonly #entries: { set(value: number): void };
  #set: NetworkSet | undefined = undefined;
  /** Since when it may have changed unseen (monotonic); undefined = it is as it is in Redis. */
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

  /** @returns undefined = what is in the list is not known. @param staleMs how long it counts while that is unsure */
  current(staleMs: number): NetworkSet | undefined {
    const since = this.#unsureSince;
    return since === undefined || this.#parts.clock.mono() - since <= staleMs ? this.#set : undefined;
  }

  /** What is wrong with it. */
  get flaw(): string | undefined {
    return this.#told;
  }

  /** Messages about it may be lost. */
  doubt(): void {
    this.#unsureSince ??= this.#parts.clock.mono();
  }

  get isUnsure(): boolean {
    return this.#unsureSince !== undefined;
  }

  /** Whether it is time to read it again because nobody tells of changes. */
  get isDue(): boolean {
    return this.isUnsure && this.#parts.clock.mono() >= this.#restsUntil;
  }

  /** Reads it again, once more when it changes meanwhile. Never rejects; ends within the store's time limits. */
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
        // As with a policy that is refused: what was good stays.
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

  /** Once for each thing that is wrong. */
  #tell(flaw: string | undefined): void {
    if (flaw === this.#told) return;
    this.#told = flaw;
    const { logger } = this.#parts;
    if (flaw === undefined)
      logger.info({ list: this.name, entries: this.#set?.size }, "list of networks is read");
    else logger.error({ list: this.name }, flaw);
  }
}

/** All lists that policies in force name. */
export class NamedLists {
  readonly #services: Services;
  readonly #lists = new Map<string, NamedList>();
  #stop: (() => void) | undefined = undefined;

  constructor(services: Services) {
    this.#services = services;
  }

  /** Resolves once it was tried to read it. Every use ends with `release`. */
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
