// First-in-first-out queue of exchanges that wait for a connection. It is a linked list through the exchanges
// themselves, so that one can leave from the middle at no cost.
import { ClientCounts } from "./client-counts.ts";
import type { Exchange } from "./exchange.ts";

export class WaitQueue {
  #first: Exchange | undefined;
  #last: Exchange | undefined;
  #size = 0;
  /**
   * Every exchange before `#pastTo` is of this client: none is looked at twice. `#pastTo` undefined = all are.
   */
  #pastClient: string | undefined;
  #pastTo: Exchange | undefined;
  readonly #byClient = new ClientCounts();

  get size(): number {
    return this.#size;
  }

  /** How many waiting exchanges have the same client. */
  countOf(exchange: Pick<Exchange, "client">): number {
    return this.#byClient.of(exchange);
  }

  push(exchange: Exchange): void {
    exchange.previous = this.#last;
    if (this.#last === undefined) this.#first = exchange;
    else this.#last.next = exchange;
    this.#last = exchange;
    this.#pastTo ??= exchange;
    this.#size += 1;
    this.#byClient.add(exchange, 1);
  }

  shift(): Exchange | undefined {
    const first = this.#first;
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Removes and returns the first exchange that is not of that client. */
  shiftPast(client: string | undefined): Exchange | undefined {
    if (client === undefined) return this.shift();
    if (client !== this.#pastClient) {
      this.#pastClient = client;
      this.#pastTo = this.#first;
    }
    while (this.#pastTo?.client === client) this.#pastTo = this.#pastTo.next;
    const found = this.#pastTo;
    if (found !== undefined) this.remove(found);
    return found;
  }

  /** @param exchange must be in this queue */
  remove(exchange: Exchange): void {
    const { previous, next } = exchange;
    if (exchange === this.#pastTo) this.#pastTo = next;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    exchange.previous = undefined;
    exchange.next = undefined;
    this.#size -= 1;
    this.#byClient.add(exchange, -1);
  }

  /** Takes out every exchange whose wait has ended by `now` (milliseconds, monotonic). */
  expired(now: number): Exchange[] {
    const late: Exchange[] = [];
    for (let each = this.#first; each !== undefined; each = each.next) {
      if (each.waitUntil <= now) late.push(each);
    }
    for (const each of late) this.remove(each);
    return late;
  }
}
