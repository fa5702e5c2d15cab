// Secrets that plugins use: wrong ones end the start, whether or not the policy of the day has a use for them. No
// problem quotes anything of a secret.
import { readPrivateKey } from "../../plugins/auth/assertions/assertion-key.ts";
import { leastPepper } from "../../plugins/auth/api-keys/key-format.ts";
import { readSessionKeys } from "../../plugins/auth/sessions/session-keys.ts";
import { FormatError } from "./formats.ts";

export function parsePeppers(text: string): string {
  if (text.split(",").every((pepper) => pepper.trim().length >= leastPepper)) return text;
  throw new FormatError(`must hold peppers of at least ${leastPepper} characters, comma-separated`);
}

export function parseSessionKeys(text: string): string {
  if (readSessionKeys(text) !== undefined) return text;
  throw new FormatError("must hold keys of 32 bytes in base64url, comma-separated");
}

export function parseAssertionKey(text: string): string {
  try {
    readPrivateKey(text);
  } catch {
    throw new FormatError("must be a private key in PKCS #8 PEM or JWK");
  }
  return text;
}
