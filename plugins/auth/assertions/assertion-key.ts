// The key that signs assertions, as its secret writes it.
import { createPrivateKey, type KeyObject, type webcrypto } from "node:crypto";

/** @throws Error, which may show parts of it, for anything but a private key in PKCS #8 PEM or JWK */
export function readPrivateKey(secret: string): KeyObject {
  if (!secret.trimStart().startsWith("{")) return createPrivateKey(secret);
  return createPrivateKey({ key: JSON.parse(secret) as webcrypto.JsonWebKey, format: "jwk" });
}
