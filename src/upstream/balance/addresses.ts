// The addresses behind an endpoint's name, looked up again when the answer is too old.
import { Resolver } from "node:dns/promises";
import { ClosedAddress, isClosedAddress } from "../../language/closed-addresses.ts";
import type { Time } from "../time.ts";

export interface Address {
  readonly address: string;
  /** Seconds that the answer is good for. */
  readonly ttl: number;
}

/** Rejects when there is no answer. */
export type Resolve = (name: string) => Promise<readonly Address[]>;

/** Of one name; what more there is, is not asked. */
const mostAddresses = 64;
const leastMs = 1_000;
const mostMs = 300_000;
const afterFailureMs = 5_000;

/** Asks the DNS, which says how long its answer is good for; no search list, no hosts file. */
export function createResolve(): Resolve {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  return async (name) => {
    const answers = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ]);
    const [first] = answers;
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (found.length === 0) throw first.status === "rejected" ? first.reason : new Error("no address");
    return found;
  };
}

export interface AddressEvents {
  /** Others than before, in order, each once; never none. */
  found(addresses: readonly string[]): void;
  /** The last ones are kept. */
  failed(error: unknown): void;
}

export class NameWatch {
  readonly #name: string;
  readonly #resolve: Resolve;
  readonly #time: Time;
  readonly #events: AddressEvents;
  #last = "";
  #stopped = false;
  #cancelTimer: (() => void) | undefined = undefined;

  /** Looks at once. */
  constructor(name: string, resolve: Resolve, time: Time, events: AddressEvents) {
    this.#name = name;
    this.#resolve = resolve;
    this.#time = time;
    this.#events = events;
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  async #look(): Promise<void> {
    let afterMs = afterFailureMs;
    try {
      const found = await this.#resolve(this.#name);
      if (this.#stopped) return;
      // As with every name: one answer that is closed spoils them all.
      if (found.some(({ address }) => isClosedAddress(address))) throw new ClosedAddress();
      if (found.length > 0) afterMs = Math.min(...found.map(({ ttl }) => ttl)) * 1_000;
      this.#take([...new Set(found.map(({ address }) => address))].toSorted().slice(0, mostAddresses));
    } catch (error) {
      if (this.#stopped) return;
      this.#events.failed(error);
    }
    this.#cancelTimer = this.#time.after(
      Math.min(Math.max(afterMs, leastMs), mostMs),
      () => void this.#look(),
    );
  }

  #take(addresses: readonly string[]): void {
    const text = addresses.join();
    if (text === "" || text === this.#last) return;
    this.#last = text;
    this.#events.found(addresses);
  }
}
