// Keeps a chain in a capped Redis stream, one entry per record. All sidecars of a service share the stream.
import type { Clock, Counter, Logger } from "../plugin-api/contract.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import { untilLimit } from "../plugin-api/within-limit.ts";
import { Insistence } from "./insistence.ts";
import type { Copy, Found, Sink, Written } from "./sink.ts";

const limitMs = 1_000;
/** How many entries by others are searched for an earlier try of this sidecar. */
const maxLookedAt = 5_000;
/** How often entries older than the retention are removed, as part of a write. */
const trimEveryMs = 60_000;

/**
 * ARGV: the kind of bound and its value (MINID: an age, by the clock of Redis, which also numbers the entries, since a
 * sidecar's clock may be wrong), the chain, the first record's number, this sidecar's last entry (only for a retry),
 * the lines.
 */
const append: Script = {
  name: "audit-append",
  lua: `
local last, bound = '', ARGV[2]
if ARGV[1] == 'MINID' then
  bound = string.format('%.0f', math.max(0, redis.call('TIME')[1] * 1000 - tonumber(ARGV[2])))
end
if ARGV[5] ~= '' then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[5], '+', 'COUNT', ${maxLookedAt})) do
    if entry[2][2] == ARGV[3] and entry[2][4] == ARGV[4] then return entry[1] end
  end
end
for i = 6, #ARGV do
  last = redis.call('XADD', KEYS[1], ARGV[1], '~', bound, '*', 'chain', ARGV[3], 'seq', ARGV[4] + i - 6, 'line', ARGV[i])
end
return last`,
};

export const streamKey = (service: string): string => `audit:${service}`;

export interface StreamOptions {
  readonly store: Store;
  readonly service: string;
  readonly maxLength: number;
  readonly retentionMs: number;
  readonly clock: Clock;
}

export class RedisSink implements Sink {
  readonly #options: StreamOptions;
  #chain = "";
  #last = "0-0";
  /** Whether the last try may have been written although it failed. */
  #unsure = false;
  #trimmedMono = -Infinity;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  /** Each start begins a new chain: in a stream with many writers nobody could tell where the last one ended. */
  async open(name: string): Promise<Found> {
    this.#chain = name;
    return {};
  }

  async write(lines: readonly string[], first: number): Promise<Written> {
    const { store, service, maxLength, retentionMs, clock } = this.#options;
    const nowMono = clock.mono();
    const byAge = nowMono - this.#trimmedMono > trimEveryMs;
    const bound = byAge ? ["MINID", retentionMs] : ["MAXLEN", maxLength];
    const again = this.#unsure ? this.#last : "";
    this.#unsure = true;
    const args = [...bound, this.#chain, first, again, ...lines];
    this.#last = String(await store.run(append, [streamKey(service)], args, limitMs));
    this.#unsure = false;
    if (byAge) this.#trimmedMono = nowMono;
    return {};
  }

  async close(): Promise<void> {}
}

interface Waiting {
  readonly lines: readonly string[];
  readonly first: number;
}

const maxWaiting = 8_192;
const retryMs = 1_000;

/** Copies a file's chain to the stream. Lines without room while Redis is away are missing there and counted. */
export class RedisCopy implements Copy {
  readonly #sink: RedisSink;
  readonly #logger: Logger;
  readonly #lost: Counter;
  readonly #insistence = new Insistence(retryMs);
  #waiting: Waiting[] = [];
  #count = 0;
  #sending: Promise<void> | undefined;
  #told = false;

  constructor(options: StreamOptions, chain: string, logger: Logger, lost: Counter) {
    this.#sink = new RedisSink(options);
    void this.#sink.open(chain);
    this.#logger = logger;
    this.#lost = lost;
  }

  add(lines: readonly string[], first: number): void {
    if (this.#count + lines.length > maxWaiting) {
      this.#lost.inc(lines.length);
      return;
    }
    this.#waiting.push({ lines, first });
    this.#count += lines.length;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  async close(limitMs: number): Promise<void> {
    this.#insistence.end();
    await untilLimit(this.#sending ?? Promise.resolve(), limitMs);
    this.#lost.inc(this.#count);
  }

  async #send(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { lines, first } = next;
      const written = await this.#insistence.on(
        () => this.#sink.write(lines, first),
        (reason) => this.#tell(reason),
      );
      this.#count -= lines.length;
      if (written === undefined) this.#lost.inc(lines.length);
      else if (this.#told) {
        this.#told = false;
        this.#logger.info({}, "audit records are copied to Redis again");
      }
    }
  }

  #tell(reason: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#logger.warn({ reason }, "audit records cannot be copied to Redis; the file has them");
  }
}
