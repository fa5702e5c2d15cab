// A request on its way through the cache: what is wanted, and, once it was let through, what is known until its end.
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

/** A request that the upstream is asked for. */
export interface Pending extends Wanted {
  /** The stored response that may not be used without asking: to be validated, or to stand in for a failure. */
  entry: Entry | undefined;
  /** Reason for asking, in the words of RFC 9211 section 2.2. */
  forwarded: "uri-miss" | "vary-miss" | "stale" | "request";
  /** Our validators are in the request. */
  validating: boolean;
  /** The flight that this request leads, for all who want the same. */
  readonly flight: Flight | undefined;
  /** Whether it also holds the fleet's lease. */
  leased: boolean;
  readonly fill: Fill;
  /** Request fields at look-up, before plugins behind this one change them. */
  readonly lookupFields: FieldSnapshot;
  /** When the upstream was asked, epoch ms. */
  readonly requestTimeMs: number;
  over: boolean;
}

/** Fields as they are now; looked up by name only where an answer has a Vary, so they are read when first asked for. */
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
