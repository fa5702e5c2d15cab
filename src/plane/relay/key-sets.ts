// The documents of keys of two regions: the target takes the source's where that is a later one.
import { keySetKey, keySetMaxBytes, type Trust } from "../../policy/signature/key-sets.ts";
import { type Ends, replaceKey } from "./documents.ts";

const limitMs = 5_000;

export interface RelayedKeys {
  readonly trust: Trust;
  readonly act: "same" | "moved" | "written";
  /** Why the source's document of keys does not count. */
  readonly message: string | undefined;
}

/**
 * Who may sign: by the target's document of keys and then by the source's, where that is a later one.
 * @param trustBy of OUTRIGGER_POLICY_KEYS. Rejects with StoreUnavailable
 */
export async function relayKeySets(
  { source, target }: Pick<Ends, "source" | "target">,
  trustBy: (documents: readonly Uint8Array[]) => Promise<Trust>,
): Promise<RelayedKeys> {
  const [theirs, ours] = await Promise.all(
    [source, target].map((store) => store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2)),
  );
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
