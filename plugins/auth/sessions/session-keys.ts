// The keys of session cookies, as their secret writes them.

const bytesOfKey = 32;

/**
 * @param secret keys as base64url of 32 bytes, separated by commas
 * @returns undefined when it holds anything else, or none
 */
export function readSessionKeys(secret: string): Buffer[] | undefined {
  const keys = secret.split(",").map((text) => Buffer.from(text.trim(), "base64url"));
  return keys.every((key) => key.length === bytesOfKey) ? keys : undefined;
}
