// Declares the secrets of auth and checks them. No message quotes any part of a secret.
import type { PluginSecrets } from "../../src/plugin-api/contract.ts";
import { readPrivateKey } from "./assertions/assertion-key.ts";
import { minPepper } from "./api-keys/key-format.ts";
import { readSessionKeys } from "./sessions/session-keys.ts";

function arePeppers(text: string): boolean {
  return text.split(",").every((pepper) => pepper.trim().length >= minPepper);
}

function isPrivateKey(text: string): boolean {
  try {
    readPrivateKey(text);
    return true;
  } catch {
    return false;
  }
}

export const secrets: PluginSecrets = {
  API_KEY_PEPPER: {
    about: "Peppers of API key digests, comma-separated, newest first",
    check: (text) =>
      arePeppers(text) ? undefined : `must hold peppers of at least ${minPepper} characters, comma-separated`,
  },
  SESSION_KEYS: {
    about: "Keys of session cookies, comma-separated, newest first",
    check: (text) =>
      readSessionKeys(text) === undefined
        ? "must hold keys of 32 bytes in base64url, comma-separated"
        : undefined,
  },
  ASSERTION_KEY: {
    about: "Private key that signs the identity assertion for the service",
    check: (text) => (isPrivateKey(text) ? undefined : "must be a private key in PKCS #8 PEM or JWK"),
  },
};
