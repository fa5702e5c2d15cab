// Looks up API keys in Redis and caches the answers. A cached key costs no round trip; the server's invalidation
// messages remove it from the cache. Unknown keys go into a bounded negative cache. A filter of all known keys would
// not do: every sidecar would have to fill it by scanning a database that also holds other data, and it would be wrong
// for a moment after every plain SET. A budget of look-ups limits keys never seen before.
import {
  boundedCache,
  type Counter,
  type Services,
  type Store,
  textOf,
} from "../../../src/plugin-api/contract.ts";
import { BadRecords } from "./bad-records.ts";
import { keyPath, parsePeppers, pepperedDigest } from "./key-format.ts";
import { openKeyRecord, parseKeyRecord, type KeyRecord } from "./key-record.ts";
import { keyLookups } from "../metrics.ts";

export type KeyAnswer =
  | {
      readonly state: "known";
      readonly record: KeyRecord;
      /** Whether a key of OUTRIGGER_POLICY_KEYS has signed the record for its place in Redis. */
      readonly signed: boolean;
      readonly storeKey: string;
    }
  | { readonly state: "unknown" }
  | { readonly state: "unavailable"; readonly because: string }
  | { readonly state: "overloaded" };

export interface KeyQuery {
  /** Look only under HMACs with a pepper. */
  readonly requirePepper: boolean;
  /** How long a cached key still counts while Redis is out of reach; 0 = not at all. */
  readonly staleMs: number;
  readonly confirmMs: number;
  readonly negativeMs: number;
  readonly maxLookupsPerSecond: number;
}

interface Known {
  /** Hex SHA-256 of the key. */
  readonly digest: string;
  /** The cache key. Routes with `requirePepper` use another one. */
  readonly name: string;
  readonly answer: KeyAnswer;
  /** Keys in Redis whose change may change the answer: its record's own, and those that are looked at before it. */
  readonly storeKeys: readonly string[];
  /** Monotonic time (ms) of this answer from Redis. */
  seenMono: number;
  /** Epoch of the watch at this answer. In a later epoch, invalidation messages may have been lost. */
  epoch: number;
}

interface Lookup {
  /** undefined = Redis did not answer. */
  readonly promise: Promise<KeyAnswer | undefined>;
}

/** Look-ups that are left, and since when. */
interface Budget {
  readonly left: number;
  readonly mono: number;
}

const maxBudgets = 64;
const maxKnown = 65_536;
const maxUnknown = 65_536;
/** Far more than the facts and the signature of any key need. */
const maxRecordBytes = 65_536;
const unwatchedMs = 900;
/** @returns the cache key: routes with `requirePepper` have their own */
const nameOf = (digest: string, requirePepper: boolean): string => (requirePepper ? `p${digest}` : digest);

const unknown: KeyAnswer = { state: "unknown" };
const overloaded: KeyAnswer = { state: "overloaded" };
const outOfReach: KeyAnswer = { state: "unavailable", because: "redis is out of reach" };

/** One for the process, which lives as long as the process. */
export class KeyStore {
  readonly #store: Store | undefined;
  readonly #services: Services;
  #peppers: readonly string[];
  #secrets: number | undefined;
  #signatures: number | undefined;
  readonly #lookups: Counter;
  readonly #badRecords: BadRecords;
  readonly #known = boundedCache<Known>(maxKnown, (known) => this.#unlink(known));
  readonly #unknown = boundedCache<Known>(maxUnknown);
  /** Digests of known keys, by each Redis key whose change may change what is known of them. */
  readonly #byStoreKey = new Map<string, string>();
  readonly #running = new Map<string, Lookup>();
  /** Counts messages about any key. A look-up during which it changes is not cached. */
  #changes = 0;
  #epoch = 0;
  /** By the look-ups that they allow in a second: a route that allows few must not hold down one that allows many. */
  readonly #budgets = boundedCache<Budget>(maxBudgets);

  /** Stops watching for changes. */
  readonly close: () => void;

  constructor(services: Services) {
    this.#services = services;
    this.#store = services.store;
    this.#peppers = parsePeppers(services.secrets.get("API_KEY_PEPPER"));
    this.#secrets = services.secrets.generation;
    this.#signatures = services.signatures?.generation;
    this.#badRecords = new BadRecords(services);
    this.#lookups = keyLookups(services.metrics)();
    this.close = this.#store?.watch(keyPath, (key) => this.#changed(key)) ?? (() => {});
  }

  /** Whether signatures of records can be verified. */
  get verifies(): boolean {
    return this.#services.signatures !== undefined;
  }

  /** Reports a record that a route refuses because it is not signed. */
  unsigned(storeKey: string): void {
    this.#badRecords.found(storeKey, "record: is not signed, and apiKeys.signed asks for it");
  }

  get peppered(): boolean {
    return this.#peppers.length > 0;
  }

  get size(): { known: number; unknown: number } {
    return { known: this.#known.size, unknown: this.#unknown.size };
  }

  /**
   * @param digest hex SHA-256 of the key
   * @returns the cached answer of Redis; undefined = Redis has to be asked
   */
  getCached(digest: string, query: KeyQuery): KeyAnswer | undefined {
    if (this.#store === undefined) return unknown;
    if (this.#secrets !== this.#services.secrets.generation) this.#takePeppers();
    if (this.#signatures !== this.#services.signatures?.generation) this.#forgetSignatures();
    const name = nameOf(digest, query.requirePepper);
    const known = this.#known.get(name) ?? this.#unknown.get(name);
    if (known === undefined) return undefined;
    const ageMs = this.#services.clock.mono() - known.seenMono;
    // While Redis tells of changes, its cached answers stay good even if it is slow: this needs nothing from it.
    const confirmed = known.epoch === this.#epoch && (this.#store.up || this.#store.watching);
    if (known.answer.state === "unknown")
      return confirmed && ageMs < this.#believedMs(query.negativeMs) ? unknown : undefined;
    if (confirmed && ageMs < this.#believedMs(query.confirmMs)) return known.answer;
    if (!this.#store.up) return ageMs < query.staleMs ? known.answer : outOfReach;
    return undefined;
  }

  /** Other signing keys may count now. Every record is read and verified again. */
  #forgetSignatures(): void {
    this.#signatures = this.#services.signatures?.generation;
    this.#known.clear();
    this.#epoch += 1;
    this.#changes += 1;
  }

  /** Secrets have changed; they were checked at that time. Under other peppers Redis may know other keys. */
  #takePeppers(): void {
    const { secrets } = this.#services;
    this.#secrets = secrets.generation;
    const peppers = parsePeppers(secrets.get("API_KEY_PEPPER"));
    if (peppers.join() === this.#peppers.join()) return;
    this.#peppers = peppers;
    this.#epoch += 1;
  }

  /** When Redis does not tell of changes, it is asked again within a second, so that a revocation takes no longer. */
  #believedMs(ms: number): number {
    return this.#store?.watching === true ? ms : Math.min(ms, unwatchedMs);
  }

  /** Whether Redis knew this key when last asked. It may have to be asked again. */
  seen(digest: string, query: KeyQuery): boolean {
    return this.#known.has(nameOf(digest, query.requirePepper));
  }

  /** Asks Redis. Simultaneous look-ups of one key share one answer. Never rejects. */
  lookUp(key: string, digest: string, query: KeyQuery): KeyAnswer | Promise<KeyAnswer> {
    const store = this.#store;
    if (store === undefined) return unknown;
    const name = nameOf(digest, query.requirePepper);
    const before = this.#known.peek(name);
    let running = this.#running.get(name);
    if (running === undefined) {
      if (!store.up) return outOfReach;
      if (!this.#takeBudget(query.maxLookupsPerSecond)) return overloaded;
      const promise = this.#lookUp(store, key, digest, name, query).finally(() => this.#running.delete(name));
      running = { promise };
      this.#running.set(name, running);
    }
    // Whether an outage lets a key in is each caller's own to say: routes differ in it.
    return running.promise.then((answer) => answer ?? this.#staleOr(name, before, query));
  }

  async #lookUp(
    store: Store,
    key: string,
    digest: string,
    name: string,
    query: KeyQuery,
  ): Promise<KeyAnswer | undefined> {
    const storeKeys = this.#peppers.map((pepper) => keyPath + pepperedDigest(key, pepper));
    if (!query.requirePepper) storeKeys.push(keyPath + digest);
    const changes = this.#changes;
    const epoch = this.#epoch;
    let values: (Buffer | null)[];
    try {
      this.#lookups.inc(storeKeys.length);
      const read = (storeKey: string): Promise<Buffer | null> =>
        store.getBytes(storeKey, undefined, maxRecordBytes);
      values = await Promise.all(storeKeys.map(read));
    } catch {
      return undefined;
    }
    const found = values.findIndex((value) => value !== null);
    const answer =
      found === -1 ? unknown : await this.#read(values[found] as Buffer, storeKeys[found] as string);
    // A change seen meanwhile may concern this key. The answer serves those who wait, and the next caller asks again.
    if (changes === this.#changes) {
      const seenMono = this.#services.clock.mono();
      this.#keep({ digest, name, answer, storeKeys: storeKeys.slice(0, found + 1), seenMono, epoch });
    }
    return answer;
  }

  async #read(bytes: Buffer, storeKey: string): Promise<KeyAnswer> {
    try {
      if (bytes.length > maxRecordBytes) throw new Error(`record: is longer than ${maxRecordBytes} bytes`);
      const text = bytes.toString();
      const { json, signed } = await openKeyRecord(text, storeKey, this.#services.signatures);
      return { state: "known", record: parseKeyRecord(json), signed, storeKey };
    } catch (error) {
      const fault = textOf(error);
      this.#badRecords.found(storeKey, fault);
      return { state: "unavailable", because: "the key's record is not valid" };
    }
  }

  #keep(kept: Known): void {
    const { digest, name, answer, storeKeys } = kept;
    if (answer.state === "unknown") {
      this.#known.delete(name);
      this.#unknown.set(name, kept);
    } else {
      this.#unknown.delete(name);
      this.#known.set(name, kept);
      for (const storeKey of storeKeys) this.#byStoreKey.set(storeKey, digest);
    }
  }

  /** The look-up failed. The cached answer still counts within `staleMs`, unless the key has changed meanwhile. */
  #staleOr(name: string, before: Known | undefined, query: KeyQuery): KeyAnswer {
    if (before === undefined || this.#known.peek(name) !== before) return outOfReach;
    return this.#services.clock.mono() - before.seenMono < query.staleMs ? before.answer : outOfReach;
  }

  #changed(storeKey: string | null): void {
    this.#changes += 1;
    if (storeKey === null) {
      this.#epoch += 1;
      return;
    }
    // Removes the key from both kinds of route, so that a revocation counts for all of them.
    const digest = this.#byStoreKey.get(storeKey) ?? storeKey.slice(keyPath.length);
    for (const name of [nameOf(digest, false), nameOf(digest, true)]) {
      this.#known.delete(name);
      this.#unknown.delete(name);
    }
    // With peppers, a record's Redis key does not tell which unknown key it belongs to.
    if (this.#peppers.length > 0) this.#unknown.clear();
  }

  #unlink({ storeKeys, digest, name }: Known): void {
    const other = this.#known.peek(nameOf(digest, name === digest));
    for (const storeKey of storeKeys)
      if (other?.storeKeys.includes(storeKey) !== true) this.#byStoreKey.delete(storeKey);
  }

  #takeBudget(perSecond: number): boolean {
    const mono = this.#services.clock.mono();
    const name = String(perSecond);
    const last = this.#budgets.get(name) ?? { left: perSecond, mono };
    const filled = Math.min(perSecond, last.left + ((mono - last.mono) / 1000) * perSecond);
    const taken = filled >= 1;
    this.#budgets.set(name, { left: taken ? filled - 1 : filled, mono });
    return taken;
  }
}
