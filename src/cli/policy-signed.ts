// Documents that a command signs before it puts them into Redis, and signed ones that it puts there as they are.
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import type { Current } from "../plane/history.ts";
import { canonicalJson } from "../policy/document/digest.ts";
import { compactJws, readClaims } from "../policy/signature/jws.ts";
import { createTrust } from "../policy/read.ts";
import { keySetsIn, trustedIn, verifiedIn } from "./plane-trust.ts";
import { type SigningWish, signPolicy } from "./signing-options.ts";
import { documentName, type Plane, PlaneRefusal } from "./with-plane.ts";

/** Where a document goes: into the shared policy or a service's layer, over what that holds. */
export interface Place {
  readonly service: string | undefined;
  readonly before: Current;
}

/** The epoch that a document claims; undefined = it is not signed, or without one. */
export function epochIn(bytes: Uint8Array): number | undefined {
  const token = compactJws(bytes, bytes.byteLength);
  return token === undefined ? undefined : readClaims(token).epoch;
}

export const isSigned = (bytes: Uint8Array): boolean => compactJws(bytes, bytes.byteLength) !== undefined;

/**
 * @param document JSON-able
 * @param before what the document's key holds now; when that is the same, signed by this key, it is handed back
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
  // Only what a key that counts has signed: Redis may hold any number that somebody made up.
  const there = before.document && (await verifiedIn(plane, before.document, name, trusted));
  const own = trusted.filter(({ thumbprint }) => thumbprint === key.kid);
  // Signed by another key, which may be about to end, it is signed anew.
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

/** As the script that writes it judges: change-script.ts. */
const plausible = (epoch: number): number => (epoch > Date.now() / 1000 + 86_400 ? 0 : epoch);

/** A document that is put there as it is must not be older than what is there. Rejects with PlaneRefusal. */
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
