// Opens signed policies. A signed policy is a compact JWS: its payload is the JSON document, and its protected header
// says what the document is for. With keys configured, every document must be one that is signed by one of them.
// Without keys a JWS is opened unchecked, and the status says `unverified`.
import { type Claims, compactJws, payloadOf, readClaims, signerOf } from "./jws.ts";
import { refused } from "../document/parse.ts";
import type { VerifyKey } from "./verify-keys.ts";

export type Signed = "no" | "unverified" | "verified";

export interface OpenedDocument {
  /** The document as it was before it was signed: JSON or YAML, always JSON if signed. */
  readonly bytes: Uint8Array;
  readonly signed: Signed;
  /** Present if the document was verified. */
  readonly claims?: Claims;
}

export const policyType = "outrigger-policy+jws";

/**
 * Opens the document that is stored under the key `name`. Throws PolicyRefused.
 * @param trusted undefined = nothing has to be signed
 * @param maxBytes size limit of the document
 */
export async function openPolicy(
  bytes: Uint8Array,
  name: string,
  trusted: readonly VerifyKey[] | undefined,
  maxBytes: number,
): Promise<OpenedDocument> {
  const token = compactJws(bytes, maxBytes);
  if (token === undefined) {
    if (trusted !== undefined)
      throw refused(
        "is not signed, and OUTRIGGER_POLICY_KEYS asks for that: policy sign, or policy apply --key",
      );
    return { bytes, signed: "no" };
  }
  const claims = readClaims(token);
  judgePlace(claims, name);
  if (trusted === undefined) return { bytes: payloadOf(token), signed: "unverified" };
  const signer = await signerOf(token, claims, trusted);
  if (signer === undefined) throw refused("is not signed by any of OUTRIGGER_POLICY_KEYS");
  return { bytes: payloadOf(token), signed: "verified", claims };
}

function judgePlace(claims: Claims, name: string): void {
  const { typ, epoch, iat } = claims;
  // Another kind of token, signed by the same key for another purpose, is no policy (RFC 8725 section 3.11).
  if (typ !== undefined && typ !== policyType)
    throw refused(`its JWS header has a typ other than ${policyType}`);
  // Otherwise a signed layer could be copied over the shared policy, and its signature would still be valid.
  if (claims.for !== undefined && claims.for !== name)
    throw refused(`was signed for ${JSON.stringify(claims.for.slice(0, 100))}, which is another key`);
  if (epoch === undefined) return;
  if (typ === undefined || claims.for === undefined || iat === undefined)
    throw refused("its JWS header has an epoch, and lacks typ, for or iat");
}
