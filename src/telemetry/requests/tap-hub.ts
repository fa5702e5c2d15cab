// Passes exchanges to the taps open in this process. While there is none, an exchange costs one check of a boolean.
import { parseStatuses } from "../../language/statuses.ts";
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import type { Fields } from "../../plugin-api/fields.ts";
import type { Counter } from "../../plugin-api/telemetry.ts";
import type { ExchangeTaps, TappedExchange } from "../../runtime/live-record.ts";
import { tapEvent } from "./shown-heads.ts";
import type { TapRequest } from "./tap-request.ts";

/** @param event JSON without line ends @param dropped exchanges over the rate since the last event */
export type OnTapEvent = (event: string, dropped: number) => void;

const maxTaps = 16;
const none: readonly string[] = [];

class TooManyTaps extends Error {
  override readonly name = "TooManyTaps";
}

class Tap {
  readonly #request: TapRequest;
  readonly #isStatus: (status: unknown) => boolean;
  readonly #onEvent: OnTapEvent;
  readonly #dropped: Counter;
  #windowMono = -Infinity;
  #inWindow = 0;
  #untold = 0;

  constructor(request: TapRequest, onEvent: OnTapEvent, dropped: Counter) {
    this.#request = request;
    this.#isStatus =
      (request.status === undefined ? undefined : parseStatuses(request.status)) ?? (() => true);
    this.#onEvent = onEvent;
    this.#dropped = dropped;
  }

  /** Decides by what is known when the exchange begins. */
  wants({ route }: Exchange): boolean {
    const { route: wanted, sample } = this.#request;
    return (wanted === undefined || route.pattern === wanted) && (sample >= 1 || Math.random() < sample);
  }

  ended(status: number, text: () => string): void {
    if (!this.#isStatus(status)) return;
    const nowMono = performance.now();
    if (nowMono - this.#windowMono >= 1_000) {
      this.#windowMono = nowMono;
      this.#inWindow = 0;
    }
    this.#inWindow += 1;
    if (this.#inWindow > this.#request.perSecond) {
      this.#dropped.inc();
      this.#untold += 1;
      return;
    }
    const untold = this.#untold;
    this.#untold = 0;
    this.#onEvent(text(), untold);
  }
}

/** One exchange that at least one tap wants: keeps its heads until it is over. */
class Tapped implements TappedExchange {
  readonly #taps: readonly Tap[];
  readonly #requestFields: readonly string[];
  readonly #query: string;
  #responseFields = none;
  #status = 0;

  constructor(taps: readonly Tap[], { request }: Exchange) {
    this.#taps = taps;
    this.#requestFields = request.fields.toFlat().slice();
    this.#query = request.query;
  }

  answered(status: number, fields: Fields): void {
    this.#status = status;
    this.#responseFields = fields.toFlat().slice();
  }

  ended(exchange: Exchange, outcome: Outcome): void {
    let made: string | undefined;
    const text = (): string =>
      (made ??= tapEvent(exchange, outcome, {
        requestFields: this.#requestFields,
        query: this.#query,
        responseFields: this.#responseFields,
        status: this.#status,
      }));
    for (const tap of this.#taps) tap.ended(outcome.status, text);
  }
}

export class TapHub implements ExchangeTaps {
  active = false;
  readonly #dropped: Counter;
  readonly #taps = new Set<Tap>();

  /** @param dropped counts exchanges over a tap's rate */
  constructor(dropped: Counter) {
    this.#dropped = dropped;
  }

  /**
   * Starts a tap, which ends by itself after `request.forMs`.
   * @returns a function that ends it earlier
   * @throws TooManyTaps
   */
  start(request: TapRequest, onEvent: OnTapEvent): () => void {
    if (this.#taps.size >= maxTaps) throw new TooManyTaps(`${maxTaps} look on already.`);
    const tap = new Tap(request, onEvent, this.#dropped);
    this.#taps.add(tap);
    this.active = true;
    const end = (): void => {
      clearTimeout(limit);
      this.#taps.delete(tap);
      this.active = this.#taps.size > 0;
    };
    const limit = setTimeout(end, request.forMs);
    limit.unref();
    return end;
  }

  begin(exchange: Exchange): TappedExchange | undefined {
    const wanting = [...this.#taps].filter((tap) => tap.wants(exchange));
    return wanting.length === 0 ? undefined : new Tapped(wanting, exchange);
  }
}
