// Signs packages and verifies their signatures: a compact JWS beside the package, made with a key that signs policies,
// over the package's digest, name and version. Sidecars do not check it: the policy pins the digest, and the policy's
// signature covers that.
import { z } from "zod";
import type { Package } from "../extensions/manifest.ts";
import { packageKey } from "../extensions/redis-source.ts";
import { parseJson } from "../language/json.ts";
import { openRecord } from "../policy/signature/records.ts";
import { compactJws, readClaims } from "../policy/signature/jws.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { SigningKey } from "./private-key.ts";
import { signDocument } from "./sign.ts";

export const packageType = "outrigger-package+jws";

const claims = z.object({ sha256: z.string(), name: z.string(), version: z.string() });
const maxBytes = 16_384;

/** The result of checking a package's signature. */
export type Vouched =
  /** Signed by a key that counts. */
  | { readonly state: "signed"; readonly kid: string | undefined }
  /** There is a signature, but no keys are configured to check it. */
  | { readonly state: "unchecked" }
  /** The message says why, and what to do. */
  | { readonly state: "unsigned" | "refused"; readonly message: string };

export async function signPackage(
  { sha256, manifest: { name, version } }: Pick<Package, "sha256" | "manifest">,
  key: SigningKey,
  { nowMs, exp }: { readonly nowMs: number; readonly exp?: number | undefined },
): Promise<string> {
  const facts = { typ: packageType, for: packageKey(name, version), exp };
  return await signDocument({ sha256, name, version }, key, facts, nowMs);
}

/**
 * @param signature the text beside the package; undefined = there is none
 * @param trusted keys whose signatures count; undefined = signatures are not checked
 */
export async function vouchedFor(
  { sha256, manifest: { name, version } }: Pick<Package, "sha256" | "manifest">,
  signature: string | undefined,
  trusted: readonly VerifyKey[] | undefined,
  nowMs: number,
): Promise<Vouched> {
  if (signature === undefined)
    return {
      state: "unsigned",
      message: `${name}@${version} is not signed: sign it with "outrigger plugin sign"`,
    };
  if (trusted === undefined) return { state: "unchecked" };
  const key = packageKey(name, version);
  const refused = (why: string): Vouched => ({
    state: "refused",
    message: `the signature of ${name}@${version} ${why}`,
  });
  const text = await openRecord(key, signature, packageType, trusted, nowMs);
  if (text === undefined) return refused(`was made by none of OUTRIGGER_POLICY_KEYS for ${key}, or is over`);
  if (claimed(text)?.sha256 !== sha256) return refused("is over other bytes");
  return { state: "signed", kid: readClaims(signature).kid };
}

/** @returns the digest that the signature covers, not verified; undefined = it cannot be read */
export function digestIn(signature: string): string | undefined {
  const token = compactJws(Buffer.from(signature), maxBytes);
  return token === undefined
    ? undefined
    : claimed(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())?.sha256;
}

function claimed(text: string): z.output<typeof claims> | undefined {
  try {
    return claims.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
