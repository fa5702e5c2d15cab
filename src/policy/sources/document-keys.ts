// Names the Redis keys of a policy document: the plain one that anybody may SET, and the keys beside it.
import { layerKey, sharedKey } from "../read.ts";

export interface DocumentKeys {
  /** `policy` or `policy:<service>`: the key that sidecars read. */
  readonly document: string;
  /** The document's revisions, oldest first. */
  readonly history: string;
  /** The number of the last revision; never decreases. */
  readonly epoch: string;
  /** Summary of the last revision (JSON). It tells a change that bypassed the history from one that is in it. */
  readonly applied: string;
}

/**
 * Documents that sidecars found in force but not in the history, by document and digest. The plane adds them to the
 * history.
 */
export const directKey = "direct";

/** How the store distributes keys. */
export interface Spread {
  /** Redis Cluster. */
  readonly sharded?: boolean;
  readonly keyPrefix: string;
}

/**
 * One script changes all four keys, so in a Cluster they must share a slot. A plain key has the same slot as a key
 * whose hash tag is the plain key's whole name. The keys beside it get this hash tag, and the plain key keeps its name.
 * @param service undefined = the shared policy
 */
export function documentKeys(
  service: string | undefined,
  { sharded = false, keyPrefix }: Spread,
): DocumentKeys {
  const document = service === undefined ? sharedKey : layerKey(service);
  const beside = (name: string): string =>
    keyBeside(service === undefined ? name : `${name}:${service}`, document, { sharded, keyPrefix });
  return { document, history: beside("history"), epoch: beside("epoch"), applied: beside("applied") };
}

/** @returns the name of a key that one script changes together with a plain one */
export function keyBeside(name: string, plain: string, { sharded, keyPrefix }: Spread): string {
  return sharded === true && !hasTag(keyPrefix) ? `${name}{${keyPrefix}${plain}}` : name;
}

/**
 * Redis Cluster specification, "Hash tags": the tag is between the first `{` and the first `}` after it, if not empty.
 */
function hasTag(key: string): boolean {
  const open = key.indexOf("{");
  return open !== -1 && key.indexOf("}", open) > open + 1;
}
