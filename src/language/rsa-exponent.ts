// Public exponents of RSA keys. With 1 whatever is padded is its own signature, and everybody can make it; an even one has
// no private key. OpenSSL and jose take both (seen with Node 26 and jose 6).

export function isRsaExponent(exponent: bigint): boolean {
  return exponent >= 3n && exponent % 2n === 1n;
}

/** @param e as a JWK has it: base64url (RFC 7518 section 6.3.1.2) */
export function isJwkExponent(e: unknown): boolean {
  if (typeof e !== "string") return false;
  return isRsaExponent(BigInt(`0x0${Buffer.from(e, "base64url").toString("hex")}`));
}
