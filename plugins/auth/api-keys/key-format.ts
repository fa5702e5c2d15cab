// The shape of keys that we make: a prefix that scanners know, 256 random bits, and a checksum that tells a typo or a
// false find without a look-up. Keys of any other shape are taken as they are.
import { createHmac, hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

export const keyPrefix = "outrigger_";
/** In front of a key's digest in Redis. */
export const keyPath = "apikey:";
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 62^43 > 2^256, 62^6 > 2^32. */
const bodyLength = 43;
const checksumLength = 6;
const ourForm = /^outrigger_[0-9A-Za-z]{49}$/;

function base62(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest /= 62n) text = digits[Number(rest % 62n)] + text;
  return text;
}

function checksum(body: string): string {
  return base62(BigInt(crc32(keyPrefix + body)), checksumLength);
}

/** A new key from the system's generator. */
export function createKey(): string {
  const body = base62(BigInt(`0x${randomBytes(32).toString("hex")}`), bodyLength);
  return keyPrefix + body + checksum(body);
}

/** False for a key that has our form but was mistyped or made up; true for whatever has another form. */
export function hasGoodShape(key: string): boolean {
  if (!key.startsWith(keyPrefix) || !ourForm.test(key)) return true;
  return key.endsWith(checksum(key.slice(keyPrefix.length, -checksumLength)));
}

/** Hex SHA-256 of a key: what is stored, and what caches know it by. */
export function keyDigest(key: string): string {
  return hash("sha256", key, "hex");
}

/** Hex HMAC-SHA-256 of a key under a pepper. */
export function pepperedDigest(key: string, pepper: string): string {
  return createHmac("sha256", pepper).update(key).digest("hex");
}

/** Where a new key's record goes: under the first pepper's HMAC, or the plain SHA-256. */
export function storeKeyOf(key: string, [pepper]: readonly string[]): string {
  return keyPath + (pepper === undefined ? keyDigest(key) : pepperedDigest(key, pepper));
}

/** Characters of a pepper: fewer are no secret. */
export const minPepper = 16;

/**
 * @param secret peppers separated by commas; the first is for new keys, all are good for look-ups
 * @throws Error when one of them is too short to be a secret
 */
export function parsePeppers(secret: string | undefined): string[] {
  const peppers = (secret ?? "").split(",").map((pepper) => pepper.trim());
  const given = peppers.filter((pepper) => pepper !== "");
  if (given.some((pepper) => pepper.length < minPepper)) {
    throw new Error(`OUTRIGGER_API_KEY_PEPPER: a pepper needs at least ${minPepper} characters`);
  }
  return given;
}
