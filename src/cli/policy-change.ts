// The steps by which a policy comes into force, without any output. `policy apply` prints what they find; `sync` writes
// it into a status.
import type { Extension } from "../extensions/entry.ts";
import { documentIn } from "../plane/candidate.ts";
import type { Written } from "../plane/history.ts";
import type { Lint } from "../plane/lint/lint.ts";
import { lintFor } from "./lint-text.ts";
import { refuseUnentitled } from "./policy-extensions.ts";
import { type Checked, type Found, passTests } from "./policy-file.ts";
import { epochIn, isSigned, type Place, refuseOlder, signedOver } from "./policy-signed.ts";
import type { SigningWish } from "./signing-options.ts";
import { type Plane, PlaneRefusal } from "./with-plane.ts";

/** Runs the tests of a valid document, and lint. Rejects with PolicyRefused when a test fails. */
export async function tested(
  plane: Plane,
  { raw, extensions }: Pick<Checked, "raw" | "extensions">,
  service: string | undefined,
  name: string,
): Promise<Lint> {
  await passTests(plane, raw, service, name);
  return await lintFor(plane.config, raw, service, extensions);
}

/** @throws PlaneRefusal when lint found something */
export function refuseWarned({ findings }: Lint): void {
  if (findings.length > 0)
    throw new PlaneRefusal("nothing is changed: --strict takes no policy with warnings");
}

/** @throws PolicyRefused when the document is not signed but grants rights that only a signed one may grant */
export function refuseUnsigned(
  extensions: readonly Extension[],
  { name, bytes }: Pick<Found, "name"> & { readonly bytes: Buffer },
  service: string | undefined,
  wish: SigningWish | undefined,
): void {
  const isUnsigned = wish === undefined && !isSigned(bytes);
  if (service === undefined && isUnsigned) refuseUnentitled(extensions, bytes, name);
}

/** @returns the document as it goes into Redis, signed if asked for */
export async function documentOver(
  plane: Plane,
  bytes: Buffer,
  wish: SigningWish | undefined,
  place: Place,
): Promise<Buffer> {
  if (wish !== undefined) return await signedOver(plane, documentIn(bytes), wish, place);
  await refuseOlder(plane, bytes, place);
  return bytes;
}

/**
 * Writes the document over the revision that it was made from, and over no other. Rejects with ChangeConflict,
 * StaleEpoch or OutcomeUnknown.
 */
export async function putInForce(
  { history, author }: Plane,
  document: Buffer,
  { service, before }: Place,
  reason: string,
): Promise<Written> {
  return await history.change(service, {
    document,
    signedEpoch: epochIn(document),
    kind: "apply",
    author,
    reason,
    base: before.revision,
  });
}
