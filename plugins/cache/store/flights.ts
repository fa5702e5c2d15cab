// Coalesces simultaneous misses of one key (single-flight): one request asks the upstream, the others await its answer.
import type { GatewayError } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type HashTableMember, IntrusiveHashTable } from "./intrusive-hash-table.ts";

/**
 * How a flight ended, for its waiters. `stored`: `entry` is the answer, if it fits the waiter. `stale`: the upstream
 * failed, and `entry` may stand in. `failed`: the upstream failed and nothing stands in; asking once per waiter would
 * overload a failing service. `retry`: the leader's client has left, so one waiter leads a new flight. `uncacheable`:
 * the answer cannot be shared or is slow, so each waiter asks the upstream at once.
 */
export type FlightEnd =
  | { readonly kind: "stored" | "stale"; readonly entry: Entry }
  | { readonly kind: "failed"; readonly error: GatewayError }
  | { readonly kind: "retry" | "uncacheable" };

/** Key of a flight: a URL key, with partition and variant if there are any. */
export interface FlightKey {
  readonly url: string;
  /** By `hashText`: of the URL, then of the rest. */
  readonly hash: number;
  /** The shared partition: requests under different policies do not join one flight. */
  readonly shared: string;
}

export class Flight implements HashTableMember<Flight> {
  readonly key: string;
  readonly shared: string;
  readonly hash: number;
  next: Flight | undefined = undefined;
  readonly startedMono: number;
  readonly #flights: IntrusiveHashTable<Flight>;
  // Made for the first waiter: most flights have none.
  #waiters: Set<(end: FlightEnd) => void> | undefined = undefined;
  #ended = false;

  constructor(flights: IntrusiveHashTable<Flight>, key: FlightKey, startedMono: number) {
    this.#flights = flights;
    this.key = key.url;
    this.shared = key.shared;
    this.hash = key.hash;
    this.startedMono = startedMono;
  }

  /** Waits for the end, the signal or the limit, whichever comes first; the last two count as `uncacheable`. */
  wait(signal: AbortSignal, limitMs: number): Promise<FlightEnd> {
    const waiters = (this.#waiters ??= new Set());
    return new Promise((resolve) => {
      const finish = (end: FlightEnd): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        waiters.delete(finish);
        resolve(end);
      };
      const giveUp = (): void => finish({ kind: "uncacheable" });
      const timer = setTimeout(giveUp, limitMs);
      signal.addEventListener("abort", giveUp, { once: true });
      waiters.add(finish);
      if (signal.aborted) giveUp();
    });
  }

  /** Ends the flight and tells all waiters. Only the first call counts. */
  end(end: FlightEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#flights.remove(this);
    if (this.#waiters !== undefined) for (const finish of this.#waiters) finish(end);
  }
}

/** The flights under way: at most one for each exchange. */
export class Flights {
  readonly #flights = new IntrusiveHashTable<Flight>();

  get size(): number {
    return this.#flights.size;
  }

  /** Finds a flight to join. @param maxAgeMs a flight of this age or more is too slow to join */
  find({ url, hash, shared }: FlightKey, nowMono: number, maxAgeMs: number): Flight | undefined {
    let flight = this.#flights.first(hash);
    while (flight !== undefined && (flight.hash !== hash || flight.shared !== shared || flight.key !== url))
      flight = flight.next;
    return flight !== undefined && nowMono - flight.startedMono < maxAgeMs ? flight : undefined;
  }

  /** Begins a flight. A slow one under the same key keeps its waiters but gets no more. */
  begin(key: FlightKey, nowMono: number): Flight {
    const flight = new Flight(this.#flights, key, nowMono);
    this.#flights.add(flight);
    return flight;
  }
}
