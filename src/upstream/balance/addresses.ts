// Resolves the addresses behind an endpoint's name, and resolves them again when their TTL has passed.
import { NODATA, NOTFOUND } from "node:dns";
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { ClosedAddress, isClosedAddress } from "../../language/closed-addresses.ts";
import type { Time } from "../time.ts";

export interface Address {
  readonly address: string;
  /** The TTL of the answer in seconds. */
  readonly ttl: number;
}

export interface Answer {
  readonly found: readonly Address[];
  /** The IP version whose query got no answer at all, not even that there is no address. */
  readonly unanswered: 4 | 6 | undefined;
}

/** Rejects if neither IP version has an answer. */
export type Resolve = (name: string) => Promise<Answer>;

/** Limit per name; further addresses are ignored. */
const maxAddresses = 64;
const minMs = 1_000;
const maxMs = 300_000;
const afterFailureMs = 5_000;

/** Queries the DNS, whose answers have a TTL; uses no search list and no hosts file. */
export function createResolve(
  resolver: Pick<Resolver, "resolve4" | "resolve6"> = new Resolver({ timeout: 2_000, tries: 2 }),
): Resolve {
  return async (name) => {
    const answers = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ]);
    const [first, second] = answers;
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (found.length === 0) throw first.status === "rejected" ? first.reason : new Error("no address");
    return { found, unanswered: isUnanswered(first) ? 4 : isUnanswered(second) ? 6 : undefined };
  };
}

const noneCodes: ReadonlySet<string> = new Set([NODATA, NOTFOUND]);
const isUnanswered = (answer: PromiseSettledResult<unknown>): boolean =>
  answer.status === "rejected" && !noneCodes.has((answer.reason as { code: string }).code);

export interface AddressEvents {
  /** Reports changed addresses: sorted, without duplicates, never empty. */
  found(addresses: readonly string[]): void;
  /** Reports a failed look-up; the last addresses stay in use. */
  failed(error: unknown): void;
}

export class NameWatch {
  readonly #name: string;
  readonly #resolve: Resolve;
  readonly #time: Time;
  readonly #events: AddressEvents;
  #last: readonly string[] = [];
  #stopped = false;
  #cancelTimer: (() => void) | undefined = undefined;

  /** Looks up at once. */
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
      const { found, unanswered } = await this.#resolve(this.#name);
      if (this.#stopped) return;
      // As with every name: one closed address spoils the whole answer.
      if (found.some(({ address }) => isClosedAddress(address))) throw new ClosedAddress();
      if (found.length > 0 && unanswered === undefined)
        afterMs = Math.min(...found.map(({ ttl }) => ttl)) * 1_000;
      const kept = this.#last.filter((address) => isIP(address) === unanswered);
      this.#take([...new Set([...kept, ...found.map(({ address }) => address)])]);
    } catch (error) {
      if (this.#stopped) return;
      this.#events.failed(error);
    }
    this.#cancelTimer = this.#time.after(Math.min(Math.max(afterMs, minMs), maxMs), () => void this.#look());
  }

  #take(all: readonly string[]): void {
    const addresses = all.toSorted().slice(0, maxAddresses);
    if (addresses.length === 0 || addresses.join() === this.#last.join()) return;
    this.#last = addresses;
    this.#events.found(addresses);
  }
}
