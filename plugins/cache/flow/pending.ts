// Describes a request on its way through the cache: `Wanted` at look-up, `Pending` from a miss until the exchange ends.
import { type Exchange, Fields, note } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "../store/entry.ts";
import type { Flight } from "../store/flights.ts";
import type { Key } from "../key.ts";
import type { Fill } from "../purge/purges.ts";
import type { CacheRequest } from "../semantics/request.ts";

export interface Wanted {
  readonly exchange: Exchange;
  readonly key: Key;
  readonly seen: CacheRequest;
}

/** A request that missed and goes to the upstream. */
export interface Pending extends Wanted {
  /** A stored response that may not be used without asking: it is validated, or stands in for a failure. */
  entry: Entry | undefined;
  /** Why the upstream is asked, in the words of RFC 9211 section 2.2. */
  forwarded: "uri-miss" | "vary-miss" | "stale" | "request";
  /** Whether the request carries the stored entry's validators. */
  validating: boolean;
  /** The flight that this request leads, if any. */
  readonly flight: Flight | undefined;
  /** Whether this request also holds the fleet's lease. */
  leased: boolean;
  readonly fill: Fill;
  /** Request fields at look-up, before plugins behind this one change them. */
  readonly lookupFields: FieldSnapshot;
  /** When the upstream was asked, epoch ms. */
  readonly requestTimeMs: number;
  over: boolean;
}

/** A copy of the fields. It is parsed on the first look-up by name, because most answers have no Vary and need none. */
export class FieldSnapshot {
  readonly #flat: readonly string[];
  #fields: Fields | undefined = undefined;

  constructor(fields: Fields) {
    this.#flat = fields.toFlat().slice();
  }

  get fields(): Fields {
    return (this.#fields ??= new Fields(this.#flat));
  }

  get(lowerName: string): string | undefined {
    return this.fields.get(lowerName);
  }
}

const pendingNote = note<Pending>("cache");

export function keepPending(pending: Pending): void {
  pendingNote.set(pending.exchange, pending);
}

export function pendingOf(exchange: Exchange): Pending | undefined {
  return pendingNote.get(exchange);
}
