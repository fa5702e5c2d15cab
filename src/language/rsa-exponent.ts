// Checks public exponents of RSA keys. With exponent 1, any padded text is its own signature, which anybody can make.
// An even exponent has no private key. OpenSSL and jose accept both (seen with Node 26 and jose 6).

export function isRsaExponent(exponent: bigint): boolean {
  return exponent >= 3n && exponent % 2n === 1n;
}

/** @param e exponent as in a JWK: base64url (RFC 7518 section 6.3.1.2) */
export function isJwkExponent(e: unknown): boolean {
  if (typeof e !== "string") return false;
  return isRsaExponent(BigInt(`0x0${Buffer.from(e, "base64url").toString("hex")}`));
}
