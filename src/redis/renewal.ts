// Switches from one Redis address to another without a failed call. New connections are opened and tested, and
// subscribe to changes. Only then are they used, and the old ones closed. Until then, and for good if the new ones
// never answer, the old ones serve.
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { RedisAddress } from "./address.ts";
import type { ConnectionStateChange } from "./connection-state.ts";
import type { RedisStore } from "./store.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";

export interface RenewalOptions {
  readonly address: RedisAddress;
  readonly open: (address: RedisAddress, onState: (state: ConnectionStateChange) => void) => RedisStore;
  /** Reports the state of the connections in use. */
  readonly onState: (state: ConnectionStateChange) => void;
  /** Called when the new connections are in use. */
  readonly onRenewed: () => void;
  /** Called once per address if its connections do not work yet; they are still tried. */
  readonly onUnproven: (reason: string) => void;
}

/** After this long without an answer, the new connections are reported as failing. */
const unprovenMs = 5_000;
const proofMs = 1_000;
/** How long the new connections may take to subscribe before they are used anyway. */
const subscribeMs = 2_000;
/** Longer than any call may take: calls in flight complete on the old connections. */
const leaveMs = 6_000;

/** One set of connections, with its last reported states. */
interface Side {
  readonly address: RedisAddress;
  readonly store: RedisStore;
  readonly states: Map<ConnectionStateChange["of"], ConnectionStateChange>;
  /** Whether watches were started on it. */
  watched: boolean;
}

interface Watch {
  readonly begin: (store: RedisStore) => () => void;
  readonly ends: Map<RedisStore, () => void>;
}

export class Renewal {
  readonly #options: RenewalOptions;
  readonly #watches = new Set<Watch>();
  readonly #leaving = new Map<RedisStore, NodeJS.Timeout>();
  #now: Side;
  #next: Side | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#now = this.#open(options.address);
    this.#now.watched = true;
  }

  get store(): RedisStore {
    return this.#now.store;
  }

  renew(address: RedisAddress): void {
    if (isDeepStrictEqual(address, (this.#next ?? this.#now).address)) return;
    this.#giveUpNext();
    if (isDeepStrictEqual(address, this.#now.address)) return;
    this.#next = this.#open(address);
    void this.#goOver(this.#next);
  }

  /** @returns a function that ends the watch */
  watch(begin: Watch["begin"]): () => void {
    const watch: Watch = { begin, ends: new Map() };
    this.#watches.add(watch);
    for (const side of [this.#now, this.#next]) {
      if (side?.watched === true) watch.ends.set(side.store, begin(side.store));
    }
    return () => {
      this.#watches.delete(watch);
      for (const end of watch.ends.values()) end();
    };
  }

  close(): void {
    this.#giveUpNext();
    for (const [store, timer] of this.#leaving) {
      clearTimeout(timer);
      store.close();
    }
    this.#leaving.clear();
    this.#now.store.close();
  }

  #open(address: RedisAddress): Side {
    const states: Side["states"] = new Map();
    const store = this.#options.open(address, (state) => {
      states.set(state.of, state);
      if (this.#now.store === store) this.#options.onState(state);
    });
    return { address, store, states, watched: false };
  }

  /** Never rejects; ends when the switch is done, or a later address came. */
  async #goOver(next: Side): Promise<void> {
    const startedMono = performance.now();
    let told = false;
    for (;;) {
      const trouble = await troubleOf(next);
      if (this.#next !== next) return;
      if (trouble === undefined) break;
      if (!told && performance.now() - startedMono >= unprovenMs) {
        told = true;
        this.#options.onUnproven(trouble);
      }
      await delay(proofMs / 2, undefined, { ref: false });
      if (this.#next !== next) return;
    }
    await this.#subscribe(next);
    if (this.#next === next) this.#use(next);
  }

  /** Subscribes the new connections to changes, so that at every moment one side receives them. */
  async #subscribe(next: Side): Promise<void> {
    next.watched = true;
    for (const watch of this.#watches) watch.ends.set(next.store, watch.begin(next.store));
    const endMono = performance.now() + subscribeMs;
    while (this.#now.store.watching && !next.store.watching && performance.now() < endMono) {
      await delay(50, undefined, { ref: false });
      if (this.#next !== next) return;
    }
  }

  #use(next: Side): void {
    const before = this.#now;
    this.#now = next;
    this.#next = undefined;
    this.#endWatches(before);
    for (const what of ["commands", "writes", "watches"] as const) {
      const state = stateOf(next, what);
      if (!isDeepStrictEqual(state, stateOf(before, what))) this.#options.onState(state);
    }
    this.#options.onRenewed();
    const leave = (): void => {
      this.#leaving.delete(before.store);
      before.store.close();
    };
    this.#leaving.set(before.store, setTimeout(leave, leaveMs).unref());
  }

  #giveUpNext(): void {
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    this.#endWatches(next);
    next.store.close();
  }

  #endWatches({ store }: Side): void {
    for (const { ends } of this.#watches) {
      ends.get(store)?.();
      ends.delete(store);
    }
  }
}

function stateOf({ states }: Side, what: ConnectionStateChange["of"]): ConnectionStateChange {
  return states.get(what) ?? { of: what, up: what === "writes", reason: "" };
}

/** @returns why it cannot be used, as a code word or a short phrase; undefined once it has answered */
async function troubleOf({ store, states }: Side): Promise<string | undefined> {
  if (!(await store.whenUp(proofMs))) return states.get("commands")?.reason ?? "no answer yet";
  try {
    await store.get("probe", proofMs);
    return undefined;
  } catch (error) {
    return error instanceof StoreUnavailable ? (error.code ?? error.message) : "no answer";
  }
}
