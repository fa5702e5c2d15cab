// The last requests of this process, for `outrigger explain`: so many, and so many bytes of them.
import type { ExchangeRecorder } from "../../runtime/live-record.ts";
import { RequestRecord } from "./record.ts";

export interface RingLimits {
  readonly maxRequests: number;
  readonly maxBytes: number;
}

/** Records that wait to be used again; more are left to the collector. */
const maxSpare = 256;

export class RequestRing implements ExchangeRecorder {
  readonly #limits: RingLimits;
  readonly #spare: RequestRecord[] = [];
  /** The oldest is at `#first`; behind the newest there is nothing. */
  readonly #records: (RequestRecord | undefined)[];
  #first = 0;
  #count = 0;
  #bytes = 0;
  /** Made once, not for each record. */
  readonly #take = (record: RequestRecord): void => this.#add(record);

  constructor(limits: RingLimits = { maxRequests: 1_000, maxBytes: 4_194_304 }) {
    this.#limits = limits;
    this.#records = Array.from({ length: limits.maxRequests }, () => undefined);
  }

  /** Requests that are kept, and the bytes that they take, about. */
  get size(): { readonly requests: number; readonly bytes: number } {
    return { requests: this.#count, bytes: this.#bytes };
  }

  get newest(): RequestRecord | undefined {
    return this.#count === 0 ? undefined : this.#at(this.#count - 1);
  }

  begin(plugins: readonly string[], digest: string): RequestRecord {
    const record = this.#spare.pop() ?? new RequestRecord(this.#take);
    record.begin(plugins, digest);
    return record;
  }

  /** @returns the last ones with this id, newest first: clients choose ids, and some choose one twice */
  find(id: string): RequestRecord[] {
    const found: RequestRecord[] = [];
    for (let i = this.#count - 1; i >= 0; i -= 1) {
      const record = this.#at(i);
      if (record?.request.id === id) found.push(record);
    }
    return found;
  }

  #at(place: number): RequestRecord | undefined {
    return this.#records[(this.#first + place) % this.#limits.maxRequests];
  }

  #add(record: RequestRecord): void {
    const { maxRequests, maxBytes } = this.#limits;
    if (this.#count === maxRequests) this.#drop();
    this.#records[(this.#first + this.#count) % maxRequests] = record;
    this.#count += 1;
    this.#bytes += record.bytes;
    while (this.#bytes > maxBytes) this.#drop();
  }

  #drop(): void {
    const record = this.#records[this.#first] as RequestRecord;
    this.#records[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#limits.maxRequests;
    this.#count -= 1;
    this.#bytes -= record.bytes;
    record.forget();
    if (this.#spare.length < maxSpare) this.#spare.push(record);
  }
}
