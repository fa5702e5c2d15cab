// Signed policies: a compact JWS (RFC 7515) whose payload is the JSON document. With keys configured every document
// must be one, signed by one of them. Without keys a JWS is opened unchecked, and the status says `unverified`.
import type { CryptoKey, JWK } from "jose";
import type { PublicKeySet } from "../config-formats.ts";
import { refused } from "./parse.ts";

export type Signed = "no" | "unverified" | "verified";

export interface OpenedDocument {
  /** The document itself, JSON or YAML as it was before it was signed (signed ones: JSON). */
  readonly bytes: Uint8Array;
  readonly signed: Signed;
}

/** Opens the text of the document that stands under the key `name`. Throws PolicyRefused. */
export type PolicyOpener = (bytes: Uint8Array, name: string) => Promise<OpenedDocument>;

export const policyType = "outrigger-policy+jws";

// RFC 7518 section 3.1, RFC 8037, RFC 9864: one algorithm a key, none that shares a secret.
const curveAlgorithms: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA", "Ed25519"],
};
const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/** A document grows by a third in base64, and its header comes on top. */
const growth = 1.4;
const mostKeys = 32;

interface VerifyKey {
  readonly kid: string | undefined;
  readonly algorithms: readonly string[];
  readonly key: CryptoKey | Uint8Array;
}

/**
 * Builds the opener.
 * @param keys public keys; undefined = nothing has to be signed
 * @param maxBytes longest document
 * Rejects with an Error that names the key when one cannot be used.
 */
export async function createPolicyOpener(
  keys: PublicKeySet | undefined,
  maxBytes: number,
): Promise<PolicyOpener> {
  const trusted = keys === undefined ? undefined : await importKeys(keys);
  return async function openPolicy(bytes, name) {
    const token = asToken(bytes, maxBytes);
    if (token === undefined) {
      if (trusted !== undefined)
        throw refused("is not signed, and OUTRIGGER_POLICY_KEYS asks for a signature");
      return { bytes, signed: "no" };
    }
    const kid = await readHeader(token, name);
    if (trusted === undefined) {
      return { bytes: Buffer.from(token.split(".")[1] as string, "base64url"), signed: "unverified" };
    }
    return { bytes: await verified(token, kid, trusted), signed: "verified" };
  };
}

function asToken(bytes: Uint8Array, maxBytes: number): string | undefined {
  if (bytes.byteLength > maxBytes * growth + 4096) return undefined;
  const text = Buffer.from(bytes).toString("latin1").trim();
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text) ? text : undefined;
}

/** @returns the key that it names, if it names one */
async function readHeader(token: string, name: string): Promise<string | undefined> {
  const { decodeProtectedHeader } = await import("jose");
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw refused("looks like a JWS but has no valid header");
  }
  const { kid, typ, crit } = header;
  // RFC 7515 section 4.1.11: an extension that must be understood, and none is.
  if (crit !== undefined) throw refused('its JWS header has "crit"');
  // Another kind of token, signed by the same key for another purpose, is no policy (RFC 8725 section 3.11).
  if (typ !== undefined && typ !== policyType)
    throw refused(`its JWS header has a typ other than ${policyType}`);
  // A signed layer copied over the shared policy would be a valid signature in the wrong place.
  if (header["for"] !== undefined && header["for"] !== name) throw refused("was signed for another key");
  return typeof kid === "string" ? kid : undefined;
}

/** @param kid the key that the header names, if it names one */
async function verified(
  token: string,
  kid: string | undefined,
  keys: readonly VerifyKey[],
): Promise<Uint8Array> {
  const { compactVerify } = await import("jose");
  const candidates = keys.filter((key) => kid === undefined || key.kid === kid);
  for (const { key, algorithms } of candidates) {
    try {
      return (await compactVerify(token, key, { algorithms: [...algorithms] })).payload;
    } catch {
      // Whatever the reason, this key did not sign it.
    }
  }
  throw refused("is not signed by any of OUTRIGGER_POLICY_KEYS");
}

async function importKeys({ keys }: PublicKeySet): Promise<VerifyKey[]> {
  if (keys.length > mostKeys) throw new Error(`more than ${mostKeys} keys`);
  const { importJWK } = await import("jose");
  const imported: VerifyKey[] = [];
  for (const [index, jwk] of keys.entries()) {
    const where = `keys[${index}]`;
    const algorithms = algorithmsOf(jwk, where);
    try {
      const key = await importJWK(jwk as JWK, algorithms[0]);
      imported.push({ kid: typeof jwk["kid"] === "string" ? jwk["kid"] : undefined, algorithms, key });
    } catch {
      throw new Error(`${where} is not a valid public key`);
    }
  }
  return imported;
}

/** The algorithms that a key may have been used with: what it says, within what its type can do. */
function algorithmsOf(jwk: Readonly<Record<string, unknown>>, where: string): readonly string[] {
  const { kty, crv, alg, use, d } = jwk;
  if (d !== undefined || kty === "oct") throw new Error(`${where} is a private or secret key`);
  if (use !== undefined && use !== "sig") throw new Error(`${where} is not for signatures`);
  const possible = kty === "RSA" ? rsaAlgorithms : (curveAlgorithms[String(crv)] ?? []);
  if (possible.length === 0) throw new Error(`${where} has an unknown key type or curve`);
  if (alg === undefined) {
    if (kty === "RSA") throw new Error(`${where} must say its alg: one of ${rsaAlgorithms.join(", ")}`);
    return possible;
  }
  // EdDSA and Ed25519 are two names of one algorithm (RFC 9864 section 2.2).
  if (typeof alg === "string" && possible.includes(alg)) return kty === "RSA" ? [alg] : possible;
  throw new Error(`${where} has an alg that its key type cannot do`);
}
