// Reads the private key that signs assertions from its secret.
import { createPrivateKey, type KeyObject, type webcrypto } from "node:crypto";

/** @throws Error for anything but a private key in PKCS #8 PEM or JWK. Its message may show parts of the secret. */
export function readPrivateKey(secret: string): KeyObject {
  if (!secret.trimStart().startsWith("{")) return createPrivateKey(secret);
  return createPrivateKey({ key: JSON.parse(secret) as webcrypto.JsonWebKey, format: "jwk" });
}
