// Finds the keys whose signatures a command accepts in Redis: by OUTRIGGER_POLICY_KEYS and the key set signed under
// `policy-keys`, as a sidecar that starts now does.
import type { SigningKey } from "../plane/private-key.ts";
import { keySetKey, keySetMaxBytes } from "../policy/signature/key-sets.ts";
import { createTrust } from "../policy/read.ts";
import { type OpenedDocument, openPolicy } from "../policy/signature/signature.ts";
import { PolicyRefused } from "../policy/document/problems.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { Plane } from "./with-plane.ts";

const limitMs = 5_000;

/** The key set document in Redis, for a policy reader; empty when no signatures are required. */
export async function keySetsIn({
  config,
  store,
}: Pick<Plane, "config" | "store">): Promise<readonly Uint8Array[]> {
  if (config.policyKeys === undefined) return [];
  const bytes = await store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2);
  return bytes === null ? [] : [bytes];
}

/**
 * The keys whose signatures are accepted.
 * @param own the operator's key, accepted when OUTRIGGER_POLICY_KEYS is not set
 */
export async function trustedIn(
  plane: Pick<Plane, "config" | "store">,
  own: SigningKey,
): Promise<readonly VerifyKey[]> {
  const trust = await createTrust(plane.config.policyKeys ?? { keys: [own.publicJwk] });
  return (await trust(await keySetsIn(plane))).keys;
}

/** The keys whose signatures sidecars accept; undefined = sidecars ask for no signature. */
export async function askedTrust(
  plane: Pick<Plane, "config" | "store">,
): Promise<readonly VerifyKey[] | undefined> {
  const { policyKeys } = plane.config;
  if (policyKeys === undefined) return undefined;
  const trust = await createTrust(policyKeys);
  return (await trust(await keySetsIn(plane))).keys;
}

/** Opens a document that an accepted key signed for this place; undefined = it is not such a document. */
export async function verifiedIn(
  { config }: Plane,
  bytes: Uint8Array,
  name: string,
  trusted: readonly VerifyKey[],
): Promise<OpenedDocument | undefined> {
  try {
    return await openPolicy(bytes, name, trusted, config.policyMaxBytes);
  } catch (error) {
    if (error instanceof PolicyRefused) return undefined;
    throw error;
  }
}
