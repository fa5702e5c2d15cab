// Imports the public keys that verify signatures, from a JWKS (RFC 7517): each with the algorithms that it may be used
// with, and its thumbprint.
import type { CryptoKey, JWK } from "jose";
import type { PublicKeySet } from "../../config/formats.ts";
import { isJwkExponent } from "../../language/rsa-exponent.ts";

export interface VerifyKey {
  readonly kid: string | undefined;
  /** RFC 7638, SHA-256. Revocations name the thumbprint, since anyone can choose a `kid`. */
  readonly thumbprint: string;
  readonly algorithms: readonly string[];
  readonly key: CryptoKey | Uint8Array;
}

// RFC 7518 section 3.1, RFC 8037, RFC 9864: one algorithm a curve, and none with a shared secret.
const curveAlgorithms: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA", "Ed25519"],
};
const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const maxKeys = 32;

/** Rejects with an Error that names the key when one cannot be used. */
export async function importKeys({ keys }: PublicKeySet): Promise<VerifyKey[]> {
  if (keys.length > maxKeys) throw new Error(`more than ${maxKeys} keys`);
  const { importJWK, calculateJwkThumbprint } = await import("jose");
  const imported: VerifyKey[] = [];
  for (const [index, jwk] of keys.entries()) {
    const where = `keys[${index}]`;
    const algorithms = algorithmsOf(jwk, where);
    try {
      const key = await importJWK(jwk as JWK, algorithms[0]);
      const thumbprint = await calculateJwkThumbprint(jwk);
      const kid = typeof jwk["kid"] === "string" ? jwk["kid"] : undefined;
      imported.push({ kid, thumbprint, algorithms, key });
    } catch {
      throw new Error(`${where} is not a valid public key`);
    }
  }
  return imported;
}

export function sameKeys(a: readonly VerifyKey[] = [], b: readonly VerifyKey[] = []): boolean {
  return a.length === b.length && a.every(({ thumbprint }, index) => thumbprint === b[index]?.thumbprint);
}

/**
 * @returns the algorithms that the key may be used with: its `alg`, if its type supports that. Throws an Error for an
 * unusable key.
 */
function algorithmsOf(jwk: Readonly<Record<string, unknown>>, where: string): readonly string[] {
  const { kty, crv, alg, use, d, e } = jwk;
  if (d !== undefined || kty === "oct") throw new Error(`${where} is a private or secret key`);
  if (use !== undefined && use !== "sig") throw new Error(`${where} is not for signatures`);
  const possible = kty === "RSA" ? rsaAlgorithms : (curveAlgorithms[String(crv)] ?? []);
  if (possible.length === 0) throw new Error(`${where} has an unknown key type or curve`);
  if (kty === "RSA" && !isJwkExponent(e))
    throw new Error(`${where} has an exponent that makes no signatures`);
  if (alg === undefined) {
    if (kty === "RSA") throw new Error(`${where} must say its alg: one of ${rsaAlgorithms.join(", ")}`);
    return possible;
  }
  // EdDSA and Ed25519 are two names of one algorithm (RFC 9864 section 2.2).
  if (typeof alg === "string" && possible.includes(alg)) return kty === "RSA" ? [alg] : possible;
  throw new Error(`${where} has an alg that its key type cannot do`);
}
