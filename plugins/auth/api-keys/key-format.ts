// Makes API keys and checks their form: a prefix that secret scanners know, 256 random bits, and a checksum that
// reveals typos and false finds without a look-up. Keys of any other form are accepted as they are.
import { createHmac, hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

export const keyPrefix = "outrigger_";
/** Prefix of a key's digest in Redis. */
export const keyPath = "apikey:";
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Digits for 256 random bits (62^43 > 2^256) and for the CRC (62^6 > 2^32). */
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

/** @returns a new key from the system's random generator */
export function createKey(): string {
  const body = base62(BigInt(`0x${randomBytes(32).toString("hex")}`), bodyLength);
  return keyPrefix + body + checksum(body);
}

/** @returns false for a key in the form of `createKey` with a wrong checksum (mistyped or made up), otherwise true */
export function hasGoodShape(key: string): boolean {
  if (!key.startsWith(keyPrefix) || !ourForm.test(key)) return true;
  return key.endsWith(checksum(key.slice(keyPrefix.length, -checksumLength)));
}

/** @returns the hex SHA-256 of a key: it is stored, and it is the cache key */
export function keyDigest(key: string): string {
  return hash("sha256", key, "hex");
}

/** @returns the hex HMAC-SHA-256 of a key under a pepper */
export function pepperedDigest(key: string, pepper: string): string {
  return createHmac("sha256", pepper).update(key).digest("hex");
}

/** @returns the Redis key for a new key's record: the HMAC under the first pepper, or the plain SHA-256 without one */
export function storeKeyOf(key: string, [pepper]: readonly string[]): string {
  return keyPath + (pepper === undefined ? keyDigest(key) : pepperedDigest(key, pepper));
}

/** Least length of a pepper in characters. Fewer could be guessed. */
export const minPepper = 16;

/**
 * @param secret peppers separated by commas. The first is for new keys; look-ups try all of them.
 * @throws Error when a pepper is too short
 */
export function parsePeppers(secret: string | undefined): string[] {
  const peppers = (secret ?? "").split(",").map((pepper) => pepper.trim());
  const given = peppers.filter((pepper) => pepper !== "");
  if (given.some((pepper) => pepper.length < minPepper)) {
    throw new Error(`OUTRIGGER_API_KEY_PEPPER: a pepper needs at least ${minPepper} characters`);
  }
  return given;
}
