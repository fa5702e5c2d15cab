// Keeps an issuer's public keys. It fetches them before they are needed, one fetch at a time, shares them with the
// fleet, and keeps them while the issuer is down. jose's own remote set asks a failing issuer on every request, and
// keeps nothing.
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
  /** One more fetch for an unknown key id is allowed after each such time. */
  readonly cooldownMs: number;
  readonly timeoutMs: number;
  readonly share: boolean;
}

export const skippedEntries = "entries of an issuer's key set cannot be used and are passed over";

/** A key id is unknown and was not fetched, because the budget for such fetches is spent. */
export const notLookedUp = Symbol("not looked up");
export type Keys = KeySet | undefined | typeof notLookedUp;

const maxBytes = 262_144;
/** Fetches that unknown key ids may cause in a row. A rotation needs one; a flood gets no more than these. */
const unknownBurst = 3;
const firstBackoffMs = 500;
const maxBackoffMs = 30_000;
const pollMs = 50;
const leaseMs = 1_000;
/** A shared copy is ignored if its time is further in the future than this (clock skew). */
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
  /** What was wrong with the last fetch, for people. */
  #fault = "not fetched yet";
  /** Entries skipped in the current set. Kept so that they are logged once, not at every fetch. */
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

  /** What is wrong, as a text; undefined = nothing. */
  health(): string | undefined {
    if (this.#failures === 0 && this.#current() !== undefined) return undefined;
    return `keys of ${this.#settings.issuer}: ${this.#current() ? "the last good ones are kept" : "none"}: ${this.#fault}`;
  }

  /**
   * Finds the keys among which `kid` may be; synchronously if they are in memory. An unknown kid may cause a fetch,
   * within a budget.
   * @returns undefined when nobody can tell now: no keys yet, too old ones, or an unknown kid while the issuer is down
   */
  keysFor(kid: string | undefined): Keys | Promise<Keys> {
    const set = this.#current();
    if (set?.mayHold(kid)) return set;
    const askedMono = this.#services.clock.mono();
    const mayAsk = set === undefined ? askedMono >= this.#retryMono : this.#takeUnknownBudget();
    if (!mayAsk && this.#running === undefined) return this.#verdictWithout(kid, askedMono);
    return (this.#running ?? this.refresh(kid)).then(() => this.#verdictWithout(kid, askedMono));
  }

  /** Whether `keysFor` would answer synchronously with keys that may include `kid`. */
  holds(kid: string | undefined): boolean {
    return this.#current()?.mayHold(kid) === true;
  }

  /**
   * Fetches the keys, one fetch at a time. Never rejects.
   * @param kid the key id that is looked for
   */
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
    return ageMs > this.#keptMs ? undefined : set;
  }

  get #keptMs(): number {
    return this.#settings.maxStaleMs + this.#settings.refreshMs;
  }

  /** If the issuer answers, an unknown key id means a bad token. If it does not, the answer is unknown. */
  #verdictWithout(kid: string | undefined, askedMono: number): Keys {
    const set = this.#current();
    if (set === undefined || set.mayHold(kid)) return set;
    if (this.#failures > 0) return undefined;
    // A fetch that was already running may have been answered before the key was published.
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
      // The lease is never released, as it also keeps the fleet from asking again while it lasts.
      while (!(await share.lease(Math.min(leaseMs, this.#settings.timeoutMs)))) {
        if (this.#closed || clock.mono() > endMono) return false;
        await new Promise<void>((resolve) => setTimeout(resolve, pollMs).unref());
        // A copy that was fetched before this says nothing about a kid that it lacks: it may be from before a rotation.
        if (this.#adopt(await share.read(), kid) || (this.#set?.fetchedAtMs ?? 0) >= askedMs) return true;
      }
    } catch {
      // The issuer can be asked without Redis.
    }
    return false;
  }

  async #adoptShared(): Promise<void> {
    try {
      this.#adopt(await this.#share?.read(), undefined);
    } catch {
      // The next refresh tries again.
    }
  }

  /** @returns whether the copy will do: it has `kid`, or without a `kid` it is recent */
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
    this.#set = new KeySet(jwks, fetchedAtMs, this.#set, this.#keptMs);
    const told = skipped.join(", ");
    if (told === this.#skipped) return;
    this.#skipped = told;
    if (told === "") return;
    const { issuer } = this.#settings;
    this.#services.logger.warn({ issuer, skipped: skipped.slice(0, 10) }, skippedEntries);
  }

  /**
   * Fetches the key set from the issuer.
   * @returns how long the answer may be kept (ms), if it says so
   */
  async #fetch(): Promise<number | undefined> {
    const { http, clock } = this.#services;
    const { timeoutMs, issuer } = this.#settings;
    this.#jwksUri ??= (await discover(issuer, http, timeoutMs)).jwks_uri;
    const url = this.#jwksUri;
    const fields = { accept: "application/jwk-set+json, application/json" };
    const answer = await http
      .request({ url, timeoutMs, maxBodyBytes: maxBytes, maxRedirects, fields, ...ownRetries })
      .catch((error: unknown) => {
        // The provider may have moved its keys: read its metadata again next time.
        this.#jwksUri = this.#settings.jwksUri;
        throw error;
      });
    if (answer.status !== 200) {
      this.#jwksUri = this.#settings.jwksUri;
      throw new Error(`the key set at ${url} answered ${answer.status}`);
    }
    const fetchedAtMs = clock.now();
    // An empty set is refused and counts as a failure: some issuers serve one for a moment during a rotation.
    const parsed = parseJwks(parseJsonAnswer(answer.body));
    this.#take(parsed, fetchedAtMs);
    await this.#share?.write({ json: JSON.stringify(parsed.jwks), fetchedAtMs }).catch(() => undefined);
    const maxAge = /(?:^|[\s,])max-age=(\d{1,9})/.exec(answer.fields.get("cache-control") ?? "")?.[1];
    return maxAge === undefined ? undefined : Math.max(5, Number(maxAge)) * 1000;
  }
}
