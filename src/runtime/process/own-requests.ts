// What a plugin's process may ask of the cache and the database that the plugin has to itself.
import type { Database, DatabaseValue, PluginCache, Services } from "../../plugin-api/services.ts";
import { count, list, optionalCount, text } from "./received.ts";
import type { Service } from "./service.ts";

const maxEntryCharacters = 1_048_576;
const maxQueryCharacters = 100_000;
const maxValues = 1_000;
const maxRows = 10_000;
const maxTimeoutMs = 30_000;

const key = (value: unknown): string => text(value, "a key of the cache", 512);

export function ownServices({ cache, db }: Pick<Services, "cache" | "db">): [string, Service][] {
  return [...cacheServices(cache), ["db.query", query(db)]];
}

/** What is kept is the text that the process's own cache made of a value. */
function cacheServices(cache: PluginCache): [string, Service][] {
  return [
    ["cache.get", async ([name]) => ({ value: (await cache.get(key(name))) ?? null })],
    [
      "cache.set",
      async ([name, entry, ttl]) => {
        const ttlMs = count(ttl, "the lifetime of a value");
        await cache.set(key(name), text(entry, "a value of the cache", maxEntryCharacters), { ttlMs });
        return { value: null };
      },
    ],
    [
      "cache.delete",
      async ([name]) => {
        await cache.delete(key(name));
        return { value: null };
      },
    ],
  ];
}

function query(db: Database): Service {
  return async ([statement, values, options]) => {
    const asked = Object(options) as Record<string, unknown>;
    const given = list(values, "the values of a query");
    if (given.length > maxValues) throw new Error(`a query has ${maxValues} values at most`);
    const most = optionalCount(asked["maxRows"]);
    const timeoutMs = optionalCount(asked["timeoutMs"]);
    // The database looks at each of them.
    const { rows, rowCount } = await db.query(
      text(statement, "a query", maxQueryCharacters),
      given as DatabaseValue[],
      {
        readOnly: asked["readOnly"] === true,
        ...(most === undefined ? {} : { maxRows: Math.min(most, maxRows) }),
        ...(timeoutMs === undefined ? {} : { timeoutMs: Math.max(1, Math.min(timeoutMs, maxTimeoutMs)) }),
      },
    );
    return { value: { rows: rows.map(asText), rowCount } };
  };
}

/** Bytes as PostgreSQL writes them. */
function asText(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const pairs = Object.entries(row).map(([name, value]) => [
    name,
    Buffer.isBuffer(value) ? `\\x${value.toString("hex")}` : value,
  ]);
  return Object.fromEntries(pairs) as Record<string, unknown>;
}
