// Signs documents before a command puts them into Redis, and checks signed ones that it puts there unchanged.
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import type { Current } from "../plane/history.ts";
import { canonicalJson } from "../policy/document/digest.ts";
import { compactJws, readClaims } from "../policy/signature/jws.ts";
import { createTrust } from "../policy/read.ts";
import { keySetsIn, trustedIn, verifiedIn } from "./plane-trust.ts";
import { type SigningWish, signPolicy } from "./signing-options.ts";
import { documentName, type Plane, PlaneRefusal } from "./with-plane.ts";

/** Where a document goes: the shared policy or a service's layer, with what its key holds now. */
export interface Place {
  readonly service: string | undefined;
  readonly before: Current;
}

/** The epoch that a document claims; undefined = it is not signed, or has no epoch. */
export function epochIn(bytes: Uint8Array): number | undefined {
  const token = compactJws(bytes, bytes.byteLength);
  return token === undefined ? undefined : readClaims(token).epoch;
}

export const isSigned = (bytes: Uint8Array): boolean => compactJws(bytes, bytes.byteLength) !== undefined;

/**
 * Signs a document for its place in Redis.
 * @param document JSON-serialisable
 * @param before what the document's key holds now. If this key has already signed the same document, that one is
 * returned
 * Rejects with KeyFileRefusal, EpochRefusal or PlaneRefusal.
 */
export async function signedOver(
  plane: Plane,
  document: unknown,
  wish: SigningWish,
  { service, before }: Place,
): Promise<Buffer> {
  const key = await readSigningKey(wish.keyFile);
  const name = documentName(service);
  const trusted = await trustedIn(plane, key);
  if (!trusted.some(({ thumbprint }) => thumbprint === key.kid))
    throw new KeyFileRefusal(
      `${wish.keyFile}: this key is none of OUTRIGGER_POLICY_KEYS: sidecars would refuse it`,
    );
  // Uses only a document that an accepted key signed, because Redis may hold any number that somebody made up.
  const there = before.document && (await verifiedIn(plane, before.document, name, trusted));
  const own = trusted.filter(({ thumbprint }) => thumbprint === key.kid);
  // A document of another key, which may be about to be revoked, is signed again.
  const isOwn = before.document && (await verifiedIn(plane, before.document, name, own)) !== undefined;
  const isSame =
    isOwn && there !== undefined && Buffer.from(there.bytes).toString() === canonicalJson(document);
  if (isSame && before.document && wish.lifetimeMs === undefined && wish.epoch === undefined) {
    const { epoch, exp } = there.claims ?? {};
    if (epoch !== undefined && exp === undefined) return before.document;
  }
  const last = Math.max(there?.claims?.epoch ?? 0, plausible(before.head?.signedEpoch ?? 0));
  return Buffer.from(await signPolicy(document, name, key, wish, last));
}

/** The same rule as in the script that writes the document: change-script.ts. */
const plausible = (epoch: number): number => (epoch > Date.now() / 1000 + 86_400 ? 0 : epoch);

/** Rejects with PlaneRefusal when a signed document that is put there unchanged is older than the one there. */
export async function refuseOlder(
  plane: Plane,
  bytes: Uint8Array,
  { service, before }: Place,
): Promise<void> {
  const { policyKeys } = plane.config;
  const name = documentName(service);
  if (before.document === undefined || policyKeys === undefined || before.document.equals(bytes)) return;
  const { keys } = await (await createTrust(policyKeys))(await keySetsIn(plane));
  const there = await verifiedIn(plane, before.document, name, keys);
  const last = there?.claims?.epoch ?? 0;
  const epoch = epochIn(bytes) ?? 0;
  if (last > 0 && epoch <= last)
    throw new PlaneRefusal(
      `${name} there has epoch ${last}, and sidecars refuse one of epoch ${epoch}: sign it anew, with --key`,
    );
}
