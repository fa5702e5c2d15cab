// The last requests of this process, for `outrigger explain`: so many, and so many bytes of them. What outlives a request
// costs the collector more than all the rest of keeping it, and of ten thousand a second nobody could ask for most: of more
// than so many a second only those are kept that went wrong, without what their hooks changed.
import type { ExchangeRecorder } from "../../runtime/live-record.ts";
import { RequestRecord } from "./record.ts";

export interface RingLimits {
  readonly maxRequests: number;
  readonly maxBytes: number;
  /** Kept with all that is told of them, however they end; of a burst those of five seconds. */
  readonly wholePerSecond: number;
}

const defaults: RingLimits = { maxRequests: 1_000, maxBytes: 4_194_304, wholePerSecond: 200 };
const burstSeconds = 5;

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
  /** Requests that may be kept whole by now. */
  #wholeLeft: number;
  #countedMono = 0;
  /** Made once, not for each record. */
  readonly #take = (record: RequestRecord): void => this.#add(record);

  constructor(limits: Partial<RingLimits> = {}) {
    this.#limits = { ...defaults, ...limits };
    this.#records = Array.from({ length: this.#limits.maxRequests }, () => undefined);
    this.#wholeLeft = burstSeconds * this.#limits.wholePerSecond;
  }

  /** Requests that are kept, and the bytes that they take, about. */
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
