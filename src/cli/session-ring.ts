// Sessions as an operator works on them: those in Redis can be listed, all can be ended. Every step can be run again.
import { endedPrefix, userMark } from "../../plugins/auth/session-marks.ts";
import { indexEntry, indexPrefix, storedPrefix, type IndexEntry } from "../../plugins/auth/session-index.ts";
import { parseJson } from "../language/json.ts";
import type { Script } from "../pipeline/services.ts";
import type { Store } from "../redis/store-contract.ts";

// The server's clock: an operator's may be minutes behind, and sessions that began meanwhile would live on.
const endNow: Script = {
  name: "sessions-end-now",
  lua: `local t = redis.call('TIME')
redis.call('SET', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), 'PX', ARGV[1])
return 1`,
};

const limitMs = 5_000;
const maxSessions = 200_000;
const page = 200;
/** The longest that browsers keep a cookie: no session in one lives longer. */
const longestMs = 400 * 86_400_000;

export interface Sessions {
  readonly entries: readonly IndexEntry[];
  /** There may be more than were looked at. */
  readonly cut: boolean;
}

export class SessionRing {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Those in Redis, oldest first. @param userId undefined = everybody's */
  async list(userId: string | undefined): Promise<Sessions> {
    const keys = await this.#store.scan(indexPrefix, maxSessions);
    const entries: IndexEntry[] = [];
    for (let i = 0; i < keys.length; i += page) {
      const texts = await Promise.all(keys.slice(i, i + page).map((key) => this.#store.get(key, limitMs)));
      for (const text of texts) {
        const entry = text === null ? undefined : read(text);
        if (entry !== undefined && (userId === undefined || entry.userId === userId)) entries.push(entry);
      }
    }
    entries.sort((a, b) => a.startedAt.localeCompare(b.startedAt));
    return { entries, cut: keys.length >= maxSessions };
  }

  /** @returns the session that was ended; undefined = Redis knows of none */
  async revoke(id: string): Promise<IndexEntry | undefined> {
    const text = await this.#store.get(indexPrefix + id, limitMs);
    const entry = text === null ? undefined : read(text);
    if (entry === undefined || entry.id !== id) return undefined;
    await this.#end(entry);
    return entry;
  }

  /** Ends every session of a user, in cookies too. @returns those that were in Redis */
  async revokeUser(userId: string): Promise<readonly IndexEntry[]> {
    // First: it also ends what is not listed, and what begins while the list is made.
    await this.#store.run(endNow, [endedPrefix + userMark(userId)], [longestMs], limitMs);
    const { entries } = await this.list(userId);
    for (const entry of entries) await this.#end(entry);
    return entries;
  }

  async #end({ id, at, expiresAt }: IndexEntry): Promise<void> {
    const ttlMs = Math.max(1_000, Date.parse(expiresAt) - Date.now() + 60_000);
    await this.#store.set(endedPrefix + id, "1", { ttlMs, limitMs });
    await this.#store.delete(storedPrefix + at);
    await this.#store.delete(indexPrefix + id);
  }
}

function read(text: string): IndexEntry | undefined {
  try {
    return indexEntry.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
