// Whose signatures count in Redis for a command: by OUTRIGGER_POLICY_KEYS and what is signed under `policy-keys`, as for
// a sidecar that starts now.
import type { SigningKey } from "../plane/private-key.ts";
import { keySetKey, keySetMaxBytes } from "../policy/signature/key-sets.ts";
import { createTrust } from "../policy/read.ts";
import { type OpenedDocument, openPolicy } from "../policy/signature/signature.ts";
import { PolicyRefused } from "../policy/document/problems.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { Plane } from "./with-plane.ts";

const limitMs = 5_000;

/** The document of keys that Redis has, for a reader; none when nothing has to be signed. */
export async function keySetsIn({
  config,
  store,
}: Pick<Plane, "config" | "store">): Promise<readonly Uint8Array[]> {
  if (config.policyKeys === undefined) return [];
  const bytes = await store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2);
  return bytes === null ? [] : [bytes];
}

/** @param own the operator's key: it counts where there are no OUTRIGGER_POLICY_KEYS */
export async function trustedIn(
  plane: Pick<Plane, "config" | "store">,
  own: SigningKey,
): Promise<readonly VerifyKey[]> {
  const trust = await createTrust(plane.config.policyKeys ?? { keys: [own.publicJwk] });
  return (await trust(await keySetsIn(plane))).keys;
}

/** Whose signatures sidecars ask for; undefined = none. */
export async function askedTrust(
  plane: Pick<Plane, "config" | "store">,
): Promise<readonly VerifyKey[] | undefined> {
  const { policyKeys } = plane.config;
  if (policyKeys === undefined) return undefined;
  const trust = await createTrust(policyKeys);
  return (await trust(await keySetsIn(plane))).keys;
}

/** A document that a key that counts signed for this place; undefined = it is none. */
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
