// Reads a list from Redis: a text with one network on each line, or a hash with networks as fields and reasons as
// values.
import { setImmediate } from "node:timers/promises";
import type { Store } from "../../src/plugin-api/contract.ts";
import { StoreUnavailable } from "../../src/plugin-api/contract.ts";
import { type NetworkSet, NetworkSetBuilder } from "./network-set.ts";

const maxEntries = 100_000;
const maxBytes = 8 * 1024 * 1024;
const maxEntryBytes = 512;
const limitMs = 5_000;
/** Entries to parse before other work gets a turn on the event loop. */
const slice = 5_000;

/** The key holds something that is not a list. The list read before still counts. */
export class BadList extends Error {
  override readonly name = "BadList";
}

const tooLarge = (): BadList => new BadList(`is larger than ${maxEntries} networks or ${maxBytes} bytes`);

/**
 * @returns undefined = there is no such key
 * @throws BadList, StoreUnavailable
 */
export async function readList(store: Store, key: string): Promise<NetworkSet | undefined> {
  try {
    const bytes = await store.getBytes(key, limitMs, maxBytes);
    if (bytes === null) return undefined;
    if (bytes.length > maxBytes) throw tooLarge();
    return await setOf(entriesOf(bytes.toString("utf8")));
  } catch (error) {
    if (!(error instanceof StoreUnavailable) || error.code !== "WRONGTYPE") throw error;
  }
  return readFields(store, key);
}

async function readFields(store: Store, key: string): Promise<NetworkSet | undefined> {
  const bounds = { maxFields: maxEntries, maxEntryBytes, maxBytes: maxBytes * 2 };
  try {
    const flat = await store.readHash(key, bounds, limitMs);
    // Fields only, without their values.
    return flat.length === 0 ? undefined : await setOf(flat.filter((_, index) => index % 2 === 0));
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    if (error.code === "TOOLARGE") throw tooLarge();
    if (error.code === "WRONGTYPE") throw new BadList("is neither a string nor a hash");
    throw error;
  }
}

/** Splits lines. Each holds one network, and may have a remark after `#`. */
function entriesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*$/s, "").trim())
    .filter((line) => line !== "");
}

async function setOf(entries: readonly string[]): Promise<NetworkSet> {
  if (entries.length > maxEntries) throw tooLarge();
  const builder = new NetworkSetBuilder();
  for (const [index, entry] of entries.entries()) {
    if (index % slice === slice - 1) await setImmediate();
    // Skipping a bad entry would leave a hole in a list of refused networks.
    if (!builder.add(entry))
      throw new BadList(`holds ${JSON.stringify(entry.slice(0, 64))}, which is no network`);
  }
  return builder.build();
}
