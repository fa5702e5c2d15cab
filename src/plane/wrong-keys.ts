// Finds keys of policies and canaries that hold another type than sidecars and commands write.
import { canaryKey, canaryStateKey } from "../canary/order.ts";
import type { Script, Store } from "../plugin-api/store.ts";
import { documentKeys, keyBeside } from "../policy/sources/document-keys.ts";

const limitMs = 2_000;
const typeOf: Script = { name: "key-type", lua: "return redis.call('TYPE', KEYS[1]).ok" };

const beginAgain = "DEL it, and begin the canary or shadow again";
const applyAgain =
  "look at it, DEL it, and apply the policy again: sidecars keep the one they have meanwhile";
const madeAgain = "DEL it: the next command makes it again";

/**
 * @param service undefined = the shared policy
 * @returns a line about each key of another type, with what to do. Rejects with StoreUnavailable.
 */
export async function wrongKeys(
  store: Store,
  keyPrefix: string,
  service: string | undefined,
): Promise<readonly string[]> {
  const spread = { sharded: store.sharded !== false, keyPrefix };
  const { document, history, epoch, applied } = documentKeys(service, spread);
  const lines: string[] = [];
  for (const [key, wanted, advice] of [
    [canaryKey, "string", beginAgain],
    [canaryStateKey(spread), "hash", beginAgain],
    [keyBeside("canary-history", canaryKey, spread), "list", beginAgain],
    [document, "string", applyAgain],
    [history, "stream", "DEL it, and the history begins anew"],
    [epoch, "string", madeAgain],
    [applied, "string", madeAgain],
  ] as const) {
    const type = String(await store.run(typeOf, [key], [], limitMs));
    if (type !== wanted && type !== "none")
      lines.push(
        `${keyPrefix}${key} in Redis is a ${type}, not a ${wanted}: somebody else wrote it; ${advice}`,
      );
  }
  return lines;
}
