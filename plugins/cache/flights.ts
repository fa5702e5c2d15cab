// Requests for one thing that are under way together: one asks the upstream, the others wait for its answer.
import type { Entry } from "./entry.ts";

/**
 * How a flight ended for those who wait. `stored`: here is the answer, if it fits. `stale`: the upstream failed, here
 * is what may stand in. `again`: the client of the one who asked has left, choose another. `alone`: not to be shared,
 * failed or slow, everybody asks for himself, at once.
 */
export type FlightEnd =
  | { readonly kind: "stored" | "stale"; readonly entry: Entry }
  | { readonly kind: "again" | "alone" };

export class Flight {
  readonly key: string;
  readonly startedMono: number;
  readonly #flights: Map<string, Flight>;
  readonly #waiters = new Set<(end: FlightEnd) => void>();
  #ended = false;

  constructor(flights: Map<string, Flight>, key: string, startedMono: number) {
    this.#flights = flights;
    this.key = key;
    this.startedMono = startedMono;
  }

  /** Waits for the end, the signal or the limit, whichever comes first; the last two count as `alone`. */
  wait(signal: AbortSignal, limitMs: number): Promise<FlightEnd> {
    return new Promise((resolve) => {
      const finish = (end: FlightEnd): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        this.#waiters.delete(finish);
        resolve(end);
      };
      const giveUp = (): void => finish({ kind: "alone" });
      const timer = setTimeout(giveUp, limitMs);
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiters.add(finish);
      if (signal.aborted) giveUp();
    });
  }

  /** Tells all who wait. Only the first call counts. */
  end(end: FlightEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#flights.get(this.key) === this) this.#flights.delete(this.key);
    for (const finish of this.#waiters) finish(end);
  }
}

/** Flights under way; as many as there are exchanges that lead one. */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  get size(): number {
    return this.#flights.size;
  }

  /** @param maxAgeMs an older flight is too slow to be joined */
  find(key: string, nowMono: number, maxAgeMs: number): Flight | undefined {
    const flight = this.#flights.get(key);
    return flight !== undefined && nowMono - flight.startedMono < maxAgeMs ? flight : undefined;
  }

  /** Begins a flight; a slow one under the same key keeps those who wait for it, but gets no more. */
  begin(key: string, nowMono: number): Flight {
    const flight = new Flight(this.#flights, key, nowMono);
    this.#flights.set(key, flight);
    return flight;
  }
}
