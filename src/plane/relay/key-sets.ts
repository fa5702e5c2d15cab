// Relays the key document: the target takes the source's if that is later.
import { keySetKey, keySetMaxBytes, type Trust } from "../../policy/signature/key-sets.ts";
import type { Store } from "../../plugin-api/store.ts";
import { isWrongType } from "./document-pair.ts";
import { type Ends, replaceKey } from "./documents.ts";

const limitMs = 5_000;

export interface RelayedKeys {
  readonly trust: Trust;
  readonly act: "same" | "moved" | "written";
  /** Why the source's key document does not count. */
  readonly message: string | undefined;
}

/**
 * Relays the key document. Who may sign follows from the target's document, and then from the source's if that is
 * later.
 * @param trustBy computes trust from OUTRIGGER_POLICY_KEYS and key documents. Rejects with StoreUnavailable
 */
export async function relayKeySets(
  { source, target }: Pick<Ends, "source" | "target">,
  trustBy: (documents: readonly Uint8Array[]) => Promise<Trust>,
): Promise<RelayedKeys> {
  const [theirs, ours] = await Promise.all([source, target].map(read));
  if (theirs === "wrong type" || ours === "wrong type")
    return {
      trust: await trustBy(Buffer.isBuffer(ours) ? [ours] : []),
      act: "same",
      message: `${theirs === "wrong type" ? "the source's" : "this region's"} is of another type (WRONGTYPE): somebody else wrote it; DEL it there`,
    };
  const before = await trustBy(ours ? [ours] : []);
  if (!theirs || ours?.equals(theirs) === true) return { trust: before, act: "same", message: undefined };
  const after = await trustBy([...before.keySets, theirs]);
  if (after.epoch <= before.epoch)
    return {
      trust: before,
      act: "same",
      message: `the source's ${after.problems[0]?.message ?? "does not count"}`,
    };
  const written = await target.run(replaceKey, [keySetKey], [ours ?? "", theirs], limitMs);
  return { trust: after, act: written === 1 ? "written" : "moved", message: undefined };
}

async function read(store: Store): Promise<Buffer | null | "wrong type"> {
  try {
    return await store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2);
  } catch (error) {
    if (isWrongType(error)) return "wrong type";
    throw error;
  }
}
