// Lets an operator list the sessions in Redis and end any session. Every step can be run again.
import { endNow } from "./revoked-sessions.ts";
import { endedPrefix, userMark } from "./session-marks.ts";
import { indexEntry, indexPrefix, storedPrefix, type IndexEntry } from "./session-index.ts";
import { parseJson } from "../../../src/language/json.ts";
import { type Store, StoreUnavailable } from "../../../src/plugin-api/contract.ts";

const limitMs = 5_000;
const maxSessions = 200_000;
const page = 200;
/** Browsers keep no cookie longer than this, so no session in a cookie lives longer. */
const maxMs = 400 * 86_400_000;

export interface Sessions {
  readonly entries: readonly IndexEntry[];
  /** Whether there may be more sessions than were read. */
  readonly cut: boolean;
  /** Keys that hold no valid entry. Whoever takes over a sidecar can write such keys. */
  readonly odd: readonly string[];
}

export class SessionRing {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Lists the sessions in Redis, oldest first.
   * @param userId undefined = sessions of all users
   */
  async list(userId: string | undefined): Promise<Sessions> {
    const keys = await this.#store.scan(indexPrefix, maxSessions);
    const entries: IndexEntry[] = [];
    const odd: string[] = [];
    for (let i = 0; i < keys.length; i += page) {
      const some = keys.slice(i, i + page);
      const found = await Promise.all(some.map((key) => this.#entryAt(key)));
      for (const [at, entry] of found.entries()) {
        if (entry === "odd") odd.push(some[at] as string);
        else if (entry !== undefined && (userId === undefined || entry.userId === userId))
          entries.push(entry);
      }
    }
    entries.sort((one, other) => one.startedAt.localeCompare(other.startedAt));
    return { entries, cut: keys.length >= maxSessions, odd };
  }

  /** @returns undefined when the entry has gone meanwhile */
  async #entryAt(key: string): Promise<IndexEntry | "odd" | undefined> {
    try {
      const text = await this.#store.get(key, limitMs);
      if (text === null) return undefined;
      const entry = read(text);
      return entry !== undefined && indexPrefix + entry.id === key ? entry : "odd";
    } catch (error) {
      if (error instanceof StoreUnavailable && error.code === "WRONGTYPE") return "odd";
      throw error;
    }
  }

  /** @returns the session that was ended; undefined = Redis has no such session */
  async revoke(id: string): Promise<IndexEntry | undefined> {
    const entry = await this.#entryAt(indexPrefix + id);
    if (entry === undefined || entry === "odd") return undefined;
    await this.#end(entry);
    return entry;
  }

  /**
   * Ends every session of a user, also those in cookies.
   * @returns those that were in Redis
   */
  async revokeUser(userId: string): Promise<Sessions> {
    // First, as it also ends sessions that are not listed, or begin while the list is read.
    await this.#store.run(endNow, [endedPrefix + userMark(userId)], [maxMs], limitMs);
    const found = await this.list(userId);
    for (const entry of found.entries) await this.#end(entry);
    return found;
  }

  async #end({ id, at, expiresAt }: IndexEntry): Promise<void> {
    const ttlMs = Math.min(maxMs, Math.max(1_000, Date.parse(expiresAt) - Date.now() + 60_000));
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

const maxNamed = 5;

/**
 * @returns a warning about odd keys; undefined = there are none. Their names may be an attacker's, so it quotes them.
 */
export function oddText({ odd }: Sessions): string | undefined {
  if (odd.length === 0) return undefined;
  const named = odd.slice(0, maxNamed).map((key) => JSON.stringify(key.slice(0, 200)));
  const more = odd.length > maxNamed ? " and more" : "";
  return `${odd.length} keys hold no session and were skipped: ${named.join(", ")}${more}; see who wrote them\n`;
}
