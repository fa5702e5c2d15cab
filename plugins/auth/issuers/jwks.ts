// Keeps an issuer's public keys: fetched ahead of need, one fetch at a time, shared with the fleet, kept while the
// issuer is down. jose's own remote set asks again on every request then, and keeps nothing.
import { type Services, textOf } from "../../../src/plugin-api/contract.ts";
import { discover, maxRedirects, ownRetries } from "./discovery.ts";
import { parseJsonAnswer } from "./json-answer.ts";
import { openSharedJwksCache, type SharedJwksCache, type SharedKeys } from "./shared-jwks-cache.ts";
import { KeySet, parseJwks, type ParsedJwks } from "./key-set.ts";

export interface JwksSettings {
  readonly issuer: string;
  /** undefined = found by discovery. */
  readonly jwksUri: string | undefined;
  readonly refreshMs: number;
  readonly maxStaleMs: number;
  /** Time after which unknown key ids may cause one more fetch. */
  readonly cooldownMs: number;
  readonly timeoutMs: number;
  readonly share: boolean;
}

export const skippedEntries = "entries of an issuer's key set cannot be used and are passed over";

/** An unknown key id that no fetch was made for, because the budget for such fetches is spent. */
export const notLookedUp = Symbol("not looked up");
export type Keys = KeySet | undefined | typeof notLookedUp;

const maxBytes = 262_144;
/** Fetches that unknown key ids may cause in a row: a rotation needs one, a flood gets no more. */
const unknownBurst = 3;
const firstBackoffMs = 500;
const maxBackoffMs = 30_000;
const pollMs = 50;
const leaseMs = 1_000;
/** A copy from a clock further ahead than this is not believed. */
const maxClockLeadMs = 60_000;

export class JwksSource {
  readonly #settings: JwksSettings;
  readonly #services: Services;
  readonly #share: SharedJwksCache | undefined;
  readonly #stopWatch: () => void;
  #set: KeySet | undefined;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Of the last fetch, for people. */
  #fault = "not fetched yet";
  /** Entries passed over in the set that is here: told once, not by every fetch. */
  #skipped = "";
  #startedMono = -Infinity;
  #retryMono = 0;
  #unknownBudget = unknownBurst;
  #unknownMono: number;
  #jwksUri: string | undefined;
  #closed = false;

  constructor(settings: JwksSettings, services: Services) {
    this.#settings = settings;
    this.#services = services;
    this.#jwksUri = settings.jwksUri;
    this.#unknownMono = services.clock.mono();
    const subject = settings.jwksUri ?? `discovery ${settings.issuer}`;
    this.#share = settings.share
      ? openSharedJwksCache(services, subject, settings.maxStaleMs + settings.refreshMs)
      : undefined;
    this.#stopWatch = this.#share?.watch(() => void this.#adoptShared()) ?? (() => {});
    void this.refresh();
  }

  /** Text of what is wrong; undefined = well. */
  health(): string | undefined {
    if (this.#failures === 0 && this.#current() !== undefined) return undefined;
    return `keys of ${this.#settings.issuer}: ${this.#current() ? "the last good ones are kept" : "none"}: ${this.#fault}`;
  }

  /**
   * Keys to look for `kid` in; plainly when it is known. An unknown one may cause a fetch, within a budget.
   * @returns undefined when nobody can tell now: no keys yet or too old ones, or a new key while the issuer is down
   */
  keysFor(kid: string | undefined): Keys | Promise<Keys> {
    const set = this.#current();
    if (set?.mayHold(kid)) return set;
    const askedMono = this.#services.clock.mono();
    const mayAsk = set === undefined ? askedMono >= this.#retryMono : this.#takeUnknownBudget();
    if (!mayAsk && this.#running === undefined) return this.#verdictWithout(kid, askedMono);
    return (this.#running ?? this.refresh(kid)).then(() => this.#verdictWithout(kid, askedMono));
  }

  /** Whether `keysFor` would answer plainly with keys that `kid` may be among. */
  holds(kid: string | undefined): boolean {
    return this.#current()?.mayHold(kid) === true;
  }

  /** One fetch at a time; never rejects. @param kid the key id that is looked for */
  refresh(kid?: string): Promise<void> {
    this.#running ??= this.#refresh(kid).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stopWatch();
  }

  #current(): KeySet | undefined {
    const set = this.#set;
    if (set === undefined) return undefined;
    const ageMs = this.#services.clock.now() - set.fetchedAtMs;
    return ageMs > this.#settings.maxStaleMs + this.#settings.refreshMs ? undefined : set;
  }

  /** With the issuer answering, an unknown key id is a bad token; without, nobody knows. */
  #verdictWithout(kid: string | undefined, askedMono: number): Keys {
    const set = this.#current();
    if (set === undefined || set.mayHold(kid)) return set;
    if (this.#failures > 0) return undefined;
    // A fetch that was under way before may have been answered before the key was published.
    return this.#startedMono >= askedMono ? set : notLookedUp;
  }

  #takeUnknownBudget(): boolean {
    const now = this.#services.clock.mono();
    const refill = (now - this.#unknownMono) / this.#settings.cooldownMs;
    this.#unknownBudget = Math.min(unknownBurst, this.#unknownBudget + refill);
    this.#unknownMono = now;
    if (this.#unknownBudget < 1) return false;
    this.#unknownBudget -= 1;
    return true;
  }

  async #refresh(kid: string | undefined): Promise<void> {
    clearTimeout(this.#timer);
    this.#startedMono = this.#services.clock.mono();
    let nextMs = this.#settings.refreshMs;
    try {
      const maxAgeMs = (await this.#refreshShared(kid)) ? undefined : await this.#fetch();
      this.#failures = 0;
      nextMs = Math.min(nextMs, maxAgeMs ?? nextMs) * 0.8;
    } catch (error) {
      nextMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** this.#failures);
      this.#failures += 1;
      this.#fault = textOf(error);
      const { logger, clock } = this.#services;
      this.#retryMono = clock.mono() + nextMs;
      logger.warn(
        { issuer: this.#settings.issuer, err: error, failures: this.#failures },
        "an issuer's keys cannot be fetched; the last good ones serve for jwksMaxStaleSeconds",
      );
    }
    if (this.#closed) return;
    // Jitter keeps a fleet that started together from asking together.
    this.#timer = setTimeout(() => void this.refresh(), nextMs * (0.9 + Math.random() * 0.2)).unref();
  }

  /** @returns true when another sidecar's fetch serves; false = fetch here */
  async #refreshShared(kid: string | undefined): Promise<boolean> {
    const share = this.#share;
    if (share === undefined || !this.#services.store?.up) return false;
    try {
      if (this.#adopt(await share.read(), kid)) return true;
      const { clock } = this.#services;
      const askedMs = clock.now();
      const endMono = clock.mono() + this.#settings.timeoutMs;
      // Never given back: the lease also keeps the fleet from asking more than once in its time.
      while (!(await share.lease(Math.min(leaseMs, this.#settings.timeoutMs)))) {
        if (this.#closed || clock.mono() > endMono) return false;
        await new Promise<void>((resolve) => setTimeout(resolve, pollMs).unref());
        // A copy fetched before says nothing of a key id that was not in it: it may be the one from before a rotation.
        if (this.#adopt(await share.read(), kid) || (this.#set?.fetchedAtMs ?? 0) >= askedMs) return true;
      }
    } catch {
      // Redis is no condition for asking the issuer.
    }
    return false;
  }

  async #adoptShared(): Promise<void> {
    try {
      this.#adopt(await this.#share?.read(), undefined);
    } catch {
      // The next refresh looks again.
    }
  }

  /** @returns whether the copy is recent, and newer than what is here or enough to find `kid` in */
  #adopt(copy: SharedKeys | undefined, kid: string | undefined): boolean {
    const nowMs = this.#services.clock.now();
    if (copy === undefined || copy.fetchedAtMs > nowMs + maxClockLeadMs) return false;
    if (copy.fetchedAtMs > (this.#set?.fetchedAtMs ?? -Infinity)) {
      this.#take(parseJwks(parseJsonAnswer(Buffer.from(copy.json))), copy.fetchedAtMs);
    }
    if (kid !== undefined) return this.#set?.mayHold(kid) === true;
    return nowMs - copy.fetchedAtMs < this.#settings.refreshMs * 0.5;
  }

  #take({ jwks, skipped }: ParsedJwks, fetchedAtMs: number): void {
    this.#set = new KeySet(jwks, fetchedAtMs, this.#set);
    const told = skipped.join(", ");
    if (told === this.#skipped) return;
    this.#skipped = told;
    if (told === "") return;
    const { issuer } = this.#settings;
    this.#services.logger.warn({ issuer, skipped: skipped.slice(0, 10) }, skippedEntries);
  }

  /** Asks the issuer. @returns how long it says the answer holds, in milliseconds */
  async #fetch(): Promise<number | undefined> {
    const { http, clock } = this.#services;
    const { timeoutMs, issuer } = this.#settings;
    this.#jwksUri ??= (await discover(issuer, http, timeoutMs)).jwks_uri;
    const url = this.#jwksUri;
    const fields = { accept: "application/jwk-set+json, application/json" };
    const answer = await http
      .request({ url, timeoutMs, maxBodyBytes: maxBytes, maxRedirects, fields, ...ownRetries })
      .catch((error: unknown) => {
        // The provider may have moved its keys: look at its metadata again next time.
        this.#jwksUri = this.#settings.jwksUri;
        throw error;
      });
    if (answer.status !== 200) {
      this.#jwksUri = this.#settings.jwksUri;
      throw new Error(`the key set at ${url} answered ${answer.status}`);
    }
    const fetchedAtMs = clock.now();
    // An empty set is refused here and counts as a failure: some issuers answer one for a moment while they rotate.
    const parsed = parseJwks(parseJsonAnswer(answer.body));
    this.#take(parsed, fetchedAtMs);
    await this.#share?.write({ json: JSON.stringify(parsed.jwks), fetchedAtMs }).catch(() => undefined);
    const maxAge = /(?:^|[\s,])max-age=(\d{1,9})/.exec(answer.fields.get("cache-control") ?? "")?.[1];
    return maxAge === undefined ? undefined : Math.max(5, Number(maxAge)) * 1000;
  }
}
