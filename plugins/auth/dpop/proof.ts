// Parses a DPoP proof (RFC 9449 section 4.2) strictly, before its signature is verified.
import { hash } from "node:crypto";
import { entryFault } from "../issuers/key-entries.ts";
import { decodeToken, isJsonObject, type JsonObject } from "../tokens/token-parts.ts";

export interface Proof {
  readonly algorithm: string;
  /** The members that make up the key, and no others. */
  readonly jwk: Readonly<Record<string, string>>;
  /** SHA-256 thumbprint of that key (RFC 7638): `jkt`. */
  readonly jkt: string;
  readonly claims: JsonObject;
}

/** Members in the order of RFC 7638 section 3.3, so that JSON.stringify gives the text to hash. */
const thumbprintMembers: Readonly<Record<string, readonly string[]>> = {
  EC: ["crv", "kty", "x", "y"],
  OKP: ["crv", "kty", "x"],
  RSA: ["e", "kty", "n"],
};
const maxProofLength = 8_192;
/** The sender chooses the key. 4096 bits and an exponent of 24 bits are the costliest verification it can cause. */
const maxModulusLength = 683;
const maxExponentLength = 4;

/** @returns the proof, or what is wrong with it */
export function readProof(text: string): Proof | string {
  if (text.length > maxProofLength) return "too long";
  const parts = decodeToken(text);
  if (typeof parts === "string") return "malformed";
  const { header, claims } = parts;
  const { typ, alg, jwk } = header;
  if (typ !== "dpop+jwt") return "typ";
  if (typeof alg !== "string") return "alg";
  if (header["crit"] !== undefined || header["b64"] !== undefined) return "crit";
  const fault = entryFault(jwk);
  if (fault !== undefined || !isJsonObject(jwk)) return `jwk: ${fault}`;
  const members = thumbprintMembers[jwk["kty"] as string];
  if (members === undefined) return "jwk: kty";
  const key = Object.fromEntries(members.map((name) => [name, String(jwk[name])]));
  if ((key["n"]?.length ?? 0) > maxModulusLength || (key["e"]?.length ?? 0) > maxExponentLength)
    return "jwk: too large";
  return { algorithm: alg, jwk: key, jkt: hash("sha256", JSON.stringify(key), "base64url"), claims };
}
