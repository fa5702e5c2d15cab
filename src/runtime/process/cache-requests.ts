// Answers the cache requests of a plugin's process from the plugin's own cache. A stored value is the text that the
// process's own cache made of it.
import type { PluginCache } from "../../plugin-api/services.ts";
import { count, text } from "./received.ts";
import type { Service } from "./service.ts";

const maxEntryCharacters = 1_048_576;

const key = (value: unknown): string => text(value, "a key of the cache", 512);

export function cacheServices(cache: PluginCache): [string, Service][] {
  return [
    ["cache.get", async ([name]) => ({ value: (await cache.get(key(name))) ?? null })],
    [
      "cache.set",
      async ([name, place, ttl], blobs) => {
        const ttlMs = count(ttl, "the lifetime of a value");
        const entry = blobs[count(place, "a value of the cache")]?.toString();
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
