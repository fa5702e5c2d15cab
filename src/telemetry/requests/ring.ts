// Keeps the last requests of this process for `outrigger explain`, bounded in number and bytes. Objects that outlive a
// request are the main cost, through the garbage collector. So past a rate per second only requests that went wrong are
// kept, without the facts and changed fields of their hooks.
import type { ExchangeRecorder } from "../../runtime/live-record.ts";
import { RequestRecord } from "./record.ts";

export interface RingLimits {
  readonly maxRequests: number;
  readonly maxBytes: number;
  /** Requests a second that are kept whole, however they end; a burst may use five seconds' worth. */
  readonly wholePerSecond: number;
}

const defaults: RingLimits = { maxRequests: 1_000, maxBytes: 4_194_304, wholePerSecond: 200 };
const burstSeconds = 5;

/** Most records kept for reuse; more are left to the garbage collector. */
const maxSpare = 256;

export class RequestRing implements ExchangeRecorder {
  readonly #limits: RingLimits;
  readonly #spare: RequestRecord[] = [];
  /** A circular buffer; the oldest record is at `#first`. */
  readonly #records: (RequestRecord | undefined)[];
  #first = 0;
  #count = 0;
  #bytes = 0;
  /** Token bucket: how many requests may be kept whole now. */
  #wholeLeft: number;
  #countedMono = 0;
  /** One function for all records. */
  readonly #take = (record: RequestRecord): void => this.#add(record);

  constructor(limits: Partial<RingLimits> = {}) {
    this.#limits = { ...defaults, ...limits };
    this.#records = Array.from({ length: this.#limits.maxRequests }, () => undefined);
    this.#wholeLeft = burstSeconds * this.#limits.wholePerSecond;
  }

  /** Number of requests kept, and their approximate bytes. */
  get size(): { readonly requests: number; readonly bytes: number } {
    return { requests: this.#count, bytes: this.#bytes };
  }

  get newest(): RequestRecord | undefined {
    return this.#count === 0 ? undefined : this.#at(this.#count - 1);
  }

  begin(plugins: readonly string[], digest: string, nowMono: number): RequestRecord {
    const record = this.#spare.pop() ?? new RequestRecord(this.#take);
    record.begin(plugins, digest, this.#takesWhole(nowMono));
    return record;
  }

  #takesWhole(nowMono: number): boolean {
    const { wholePerSecond } = this.#limits;
    const gained = Math.floor(((nowMono - this.#countedMono) * wholePerSecond) / 1_000);
    if (gained > 0) {
      this.#wholeLeft = Math.min(burstSeconds * wholePerSecond, this.#wholeLeft + gained);
      this.#countedMono += (gained * 1_000) / wholePerSecond;
    }
    if (this.#wholeLeft === 0) return false;
    this.#wholeLeft -= 1;
    return true;
  }

  /** @returns all records with this id, newest first: clients choose ids, and may use one twice */
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
    if (!record.isComplete) {
      this.#spareOne(record);
      return;
    }
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
    this.#spareOne(record);
  }

  #spareOne(record: RequestRecord): void {
    record.forget();
    if (this.#spare.length < maxSpare) this.#spare.push(record);
  }
}
