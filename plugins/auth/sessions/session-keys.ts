// Parses the keys of session cookies from their secret.

const bytesOfKey = 32;

/**
 * @param secret keys as base64url of 32 bytes, separated by commas
 * @returns undefined when it holds no key, or anything else
 */
export function readSessionKeys(secret: string): Buffer[] | undefined {
  const keys = secret.split(",").map((text) => Buffer.from(text.trim(), "base64url"));
  return keys.every((key) => key.length === bytesOfKey) ? keys : undefined;
}
