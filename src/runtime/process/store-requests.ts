// Answers the store requests of a plugin's process: values, hashes and streams under its keys, each within a size
// limit. Scripts are left out, because they can make up keys of their own.
import type { Store } from "../../plugin-api/services.ts";
import { count, optionalCount, pairs, text, texts, Unreadable } from "./received.ts";
import type { Service } from "./service.ts";

const maxBytes = 1_048_576;
const maxCount = 10_000;
const maxStreamLength = 100_000;

const key = (value: unknown): string => text(value, "a key", 1_024);

export function storeServices(store: Store): [string, Service][] {
  return [
    ["store.get", async ([name, limit]) => ({ value: await store.get(key(name), optionalCount(limit)) })],
    ["store.getBytes", getBytes(store)],
    ["store.readHash", readHash(store)],
    ["store.set", set(store)],
    ["store.delete", async ([names]) => ({ value: await store.delete(...texts(names, "keys", 1_000)) })],
    ["store.append", append(store)],
    [
      "store.scan",
      async ([prefix, limit]) => ({
        value: await store.scan(key(prefix), Math.min(count(limit, "limit"), maxCount)),
      }),
    ],
  ];
}

function getBytes(store: Store): Service {
  return async ([name, limit, most]) => {
    const bytes = await store.getBytes(
      key(name),
      optionalCount(limit),
      Math.min(optionalCount(most) ?? maxBytes, maxBytes),
    );
    return bytes === null ? { value: null } : { value: true, bytes };
  };
}

function readHash(store: Store): Service {
  return async ([name, bounds, limit]) => {
    const asked = Object(bounds) as Record<string, unknown>;
    const most = {
      maxFields: Math.min(count(asked["maxFields"], "maxFields"), maxCount),
      maxEntryBytes: Math.min(count(asked["maxEntryBytes"], "maxEntryBytes"), maxBytes),
      maxBytes: Math.min(count(asked["maxBytes"], "maxBytes"), maxBytes),
    };
    return { value: await store.readHash(key(name), most, optionalCount(limit)) };
  };
}

function set(store: Store): Service {
  return async ([name, place, options], blobs) => {
    const bytes = blobs[count(place, "the value of a key")];
    if (bytes === undefined || bytes.length > maxBytes)
      throw new Unreadable(`a value is longer than ${maxBytes} bytes`);
    const { ttlMs, ifAbsent, limitMs } = Object(options) as Record<string, unknown>;
    const ttl = optionalCount(ttlMs);
    const limit = optionalCount(limitMs);
    const value = await store.set(key(name), bytes, {
      ifAbsent: ifAbsent === true,
      ...(ttl === undefined ? {} : { ttlMs: ttl }),
      ...(limit === undefined ? {} : { limitMs: limit }),
    });
    return { value };
  };
}

function append(store: Store): Service {
  return async ([stream, fields, length]) => {
    const most = Math.min(count(length, "maxLength"), maxStreamLength);
    await store.append(key(stream), pairs(fields, "fields"), most);
    return { value: null };
  };
}
