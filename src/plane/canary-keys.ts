// Keys of canaries that hold what no sidecar and no command has written there.
import { canaryKey, canaryStateKey } from "../canary/order.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import { keyBeside } from "../policy/sources/document-keys.ts";

const limitMs = 2_000;
const typeOf: Script = { name: "key-type", lua: "return redis.call('TYPE', KEYS[1]).ok" };

/** Rejects with StoreUnavailable. @returns a line about each key of another type, with what to do */
export async function wrongCanaryKeys(store: Store, keyPrefix: string): Promise<readonly string[]> {
  const spread = { sharded: store.sharded !== false, keyPrefix };
  const lines: string[] = [];
  for (const [key, wanted] of [
    [canaryKey, "string"],
    [canaryStateKey(spread), "hash"],
    [keyBeside("canary-history", canaryKey, spread), "list"],
  ] as const) {
    const type = String(await store.run(typeOf, [key], [], limitMs));
    if (type !== wanted && type !== "none")
      lines.push(
        `${keyPrefix}${key} in Redis is a ${type}, not a ${wanted}: somebody else wrote it; DEL it, and begin the canary or shadow again`,
      );
  }
  return lines;
}
