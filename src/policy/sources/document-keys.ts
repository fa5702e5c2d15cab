// The keys of a policy document: the plain one that anybody may SET, and what is kept beside it.
import { layerKey, sharedKey } from "../read.ts";

export interface DocumentKeys {
  /** `policy` or `policy:<service>`: what sidecars read. */
  readonly document: string;
  /** Its revisions, oldest first. */
  readonly history: string;
  /** The number of its last revision; never falls. */
  readonly epoch: string;
  /** Its last revision in short (JSON), by which a change that went past the history is told from one that is in it. */
  readonly applied: string;
}

/** Documents that sidecars found in force and not in the history, by document and digest: for the plane to take over. */
export const directKey = "direct";

/** How the store spreads keys. */
export interface Spread {
  /** Redis Cluster. */
  readonly sharded?: boolean;
  readonly keyPrefix: string;
}

/**
 * One script changes all four, so in a Cluster they have to share a slot. The slot of a plain key is that of a key
 * whose hash tag is the plain key's whole name: what is kept beside it is named so there, and the plain key stays plain.
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

/** A key that one script changes together with a plain one. */
export function keyBeside(name: string, plain: string, { sharded, keyPrefix }: Spread): string {
  return sharded === true && !hasTag(keyPrefix) ? `${name}{${keyPrefix}${plain}}` : name;
}

/** Redis Cluster specification, "Hash tags": what is between the first `{` and the first `}` after it, if anything. */
function hasTag(key: string): boolean {
  const open = key.indexOf("{");
  return open !== -1 && key.indexOf("}", open) > open + 1;
}
