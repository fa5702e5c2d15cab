// Requests for one thing that are under way together: one asks the upstream, the others wait for its answer.
import type { GatewayError } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { type HashTableMember, IntrusiveHashTable } from "./intrusive-hash-table.ts";

/**
 * How a flight ended for those who wait. `stored`: here is the answer, if it fits. `stale`: the upstream failed, here
 * is what may stand in. `failed`: the upstream failed, and there is nothing; as many requests again would meet a service
 * that is dying. `retry`: the client of the one who asked has left, choose another. `uncacheable`: not to be shared, or slow,
 * everybody asks for himself, at once.
 */
export type FlightEnd =
  | { readonly kind: "stored" | "stale"; readonly entry: Entry }
  | { readonly kind: "failed"; readonly error: GatewayError }
  | { readonly kind: "retry" | "uncacheable" };

/** What a flight is for: a URL key, with partition and variant where there are any. */
export interface FlightKey {
  readonly url: string;
  /** `hashText` of it. */
  readonly hash: number;
  /** Partition of the answers for everybody: two policies ask apart. */
  readonly shared: string;
}

export class Flight implements HashTableMember<Flight> {
  readonly key: string;
  readonly shared: string;
  readonly hash: number;
  next: Flight | undefined = undefined;
  readonly startedMono: number;
  readonly #flights: IntrusiveHashTable<Flight>;
  // Made for the first who waits: for most flights nobody does.
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

  /** Tells all who wait. Only the first call counts. */
  end(end: FlightEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#flights.remove(this);
    if (this.#waiters !== undefined) for (const finish of this.#waiters) finish(end);
  }
}

/** Flights under way; as many as there are exchanges that lead one. */
export class Flights {
  readonly #flights = new IntrusiveHashTable<Flight>();

  get size(): number {
    return this.#flights.size;
  }

  /** @param maxAgeMs an older flight is too slow to be joined */
  find({ url, hash, shared }: FlightKey, nowMono: number, maxAgeMs: number): Flight | undefined {
    let flight = this.#flights.first(hash);
    while (flight !== undefined && (flight.hash !== hash || flight.shared !== shared || flight.key !== url))
      flight = flight.next;
    return flight !== undefined && nowMono - flight.startedMono < maxAgeMs ? flight : undefined;
  }

  /** Begins a flight; a slow one under the same key keeps those who wait for it, but gets no more. */
  begin(key: FlightKey, nowMono: number): Flight {
    const flight = new Flight(this.#flights, key, nowMono);
    this.#flights.add(flight);
    return flight;
  }
}
