// Keeps the fleet's purges in one sorted set in Redis, scored by the server's clock; every sidecar reads it. The script
// that writes a purge also publishes a notice; a sidecar that misses the notice finds the purge at its next read.
import { hash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  pairsOf,
  GatewayError,
  type Logger,
  type Script,
  type Store,
  type StoreSeal,
} from "../../../src/plugin-api/contract.ts";
import { parsePurge, type Purge } from "./purge.ts";
import type { Purges } from "./purges.ts";
import { maxLifeMs } from "../store/redis-tier.ts";

const maxRecords = 20_000;
/** Purges made within this time are written in one call. */
const gatherMs = 20;
const maxGathered = 1_000;
/** Most records applied in one turn of the event loop. */
const maxPerTurn = 250;
/** A read starts this far before the last purge seen: the clock of a new Redis master may be behind. */
const rereadMs = 5_000;
/** Longest time between two reads of the log while notices arrive; the second one holds while they cannot. */
const lookEveryMs = 10_000;
const untoldLookEveryMs = 900;

/** @param region "" = no regions. @returns the key of a service's purge log */
export function purgeLogKey(service: string, region: string): string {
  return `${cachePrefix(service, region)}purges`;
}

/** @returns the prefix of all keys of a service's cache */
export function cachePrefix(service: string, region: string): string {
  return region === "" ? `cache:${service}:` : `cache:${service}:@${region}:`;
}

// Scores are the server's epoch ms. ARGV: TTL in ms, most records, then the purges as JSON, sealed if there is a seal.
export const appendPurges: Script = {
  name: "cache-purge",
  lua: `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.pcall('PUBLISH', KEYS[1], '')
return now`,
};

const readPurges: Script = {
  name: "cache-purges-since",
  lua: `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return {tostring(now), redis.call('ZCARD', KEYS[1]), redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES')}`,
};

/** How purges are written and read. With a seal, only purges sealed by it count. */
export interface PurgeForm {
  /** Key of the log. */
  readonly key: string;
  readonly seal: StoreSeal | undefined;
  readonly now: () => number;
}

/** @returns ARGV of `appendPurges` */
export function appendArguments(purges: readonly Purge[], form: PurgeForm): (string | number)[] {
  const members = purges.map((purge) => writePurge(JSON.stringify(purge), form));
  return [maxLifeMs, maxRecords, ...members];
}

function writePurge(json: string, { key, seal, now }: PurgeForm): string {
  return seal?.seal(key, Buffer.from(json), now() + maxLifeMs).toString("base64url") ?? json;
}

/** @throws if there is a seal and it does not open the member */
function readPurge(member: string, { key, seal, now }: PurgeForm): string {
  const opened = seal === undefined ? member : seal.open(key, Buffer.from(member, "base64url"), now());
  if (opened === undefined) throw new Error("not sealed");
  return opened.toString();
}

export class PurgeLog {
  readonly #store: Store;
  readonly #form: PurgeForm;
  readonly #purges: Purges;
  readonly #logger: Logger;
  #gathered: Purge[] = [];
  // Digests of the members read so far, with their scores, latest last. Reads overlap, and each reconnection reads the
  // whole log again; a purge applied twice would hit entries filled since the first time.
  readonly #applied = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #seenMs = 0;
  #reading = false;
  #again = false;
  #whole = true;
  #retryMs = 100;
  #readMono = -Infinity;

  constructor(parts: PurgeForm & { store: Store; purges: Purges; logger: Logger }) {
    this.#store = parts.store;
    this.#form = parts;
    this.#purges = parts.purges;
    this.#logger = parts.logger;
  }

  /** Follows the log. @returns a function that stops following */
  follow(): () => void {
    this.#readAll();
    const stopHearing = this.#store.hear(this.#form.key, (key) => {
      if (key === null) this.#readAll();
      else this.#read();
    });
    const looking = setInterval(() => {
      const everyMs = this.#store.watching ? lookEveryMs : untoldLookEveryMs;
      if (performance.now() - this.#readMono >= everyMs) this.#read();
    }, untoldLookEveryMs / 2);
    looking.unref();
    return () => {
      stopHearing();
      clearInterval(looking);
      clearTimeout(this.#timer);
    };
  }

  /** Writes a purge to the log after `gatherMs`; logs a failed write. Drops purges beyond `maxGathered` per write. */
  publish(purge: Purge): void {
    if (this.#gathered.length >= maxGathered) return;
    this.#gathered.push(purge);
    if (this.#gathered.length > 1) return;
    setTimeout(() => this.#flush(), gatherMs).unref();
  }

  #flush(): void {
    const purges = this.#gathered;
    this.#gathered = [];
    this.#store.run(appendPurges, [this.#form.key], appendArguments(purges, this.#form)).catch(() => {
      this.#logger.warn({ purges: purges.length }, "purges did not reach the fleet");
    });
  }

  // Until the whole log has been read, every older entry in Redis counts as purged.
  #readAll(): void {
    this.#whole = true;
    this.#purges.distrustBefore(this.#form.now());
    this.#read();
  }

  #read(): void {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    clearTimeout(this.#timer);
    this.#readOn().then(
      () => {
        this.#reading = false;
        this.#retryMs = 100;
      },
      () => {
        this.#reading = false;
        this.#timer = setTimeout(() => this.#read(), this.#retryMs);
        this.#timer.unref();
        this.#retryMs = Math.min(this.#retryMs * 2, 10_000);
      },
    );
  }

  async #readOn(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      this.#readMono = performance.now();
      const whole = this.#whole;
      const since = whole ? "-inf" : this.#seenMs - rereadMs;
      const answer = await this.#store.run(readPurges, [this.#form.key], [since]);
      const { nowMs, count, purges } = parseAnswer(answer);
      const bad = await this.#applyAll(purges);
      if (bad > 0)
        this.#logger.warn(
          { purges: bad },
          "purges in Redis are not of this version, or not under OUTRIGGER_STORE_KEYS",
        );
      this.#seenMs = Math.max(this.#seenMs, nowMs);
      if (!whole) continue;
      this.#whole = false;
      // A full log may have lost its oldest records, so entries older than the first one left stay distrusted.
      this.#purges.distrustBefore(count >= maxRecords ? (purges[0]?.at ?? nowMs) : 0);
    }
  }

  /** @returns how many members are not valid purges */
  async #applyAll(purges: Log["purges"]): Promise<number> {
    let bad = 0;
    for (const [index, { purge, at }] of purges.entries()) {
      if (index % maxPerTurn === maxPerTurn - 1) await nextTurn();
      if (!this.#apply(purge, at)) bad += 1;
    }
    return bad;
  }

  /** @returns false if the member is not a valid purge */
  #apply(member: string, at: number): boolean {
    const name = hash("sha256", member, "base64url");
    if (this.#applied.get(name) === at) return true;
    this.#applied.delete(name);
    this.#applied.set(name, at);
    if (this.#applied.size > maxRecords) this.#applied.delete(this.#applied.keys().next().value as string);
    try {
      this.#purges.apply(parsePurge(readPurge(member, this.#form)), at);
      return true;
    } catch {
      return false;
    }
  }
}

interface Log {
  readonly nowMs: number;
  readonly count: number;
  readonly purges: readonly { readonly purge: string; readonly at: number }[];
}

function parseAnswer(answer: unknown): Log {
  if (!Array.isArray(answer) || !Array.isArray(answer[2])) {
    throw new GatewayError("dependency_unavailable", "Redis gave no purge log.");
  }
  const flat: unknown[] = answer[2];
  const purges = pairsOf(flat).map(([purge, at]) => ({ purge: String(purge), at: Number(at) }));
  return { nowMs: Number(answer[0]), count: Number(answer[1]), purges };
}
