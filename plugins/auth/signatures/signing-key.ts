// Verifies signatures by one key of the policy, with the one algorithm that it is used with (RFC 9421 section 3.3).
import { constants, createHmac, timingSafeEqual, verify } from "node:crypto";
import type { Identity, Services } from "../../../src/plugin-api/contract.ts";
import { accepted, refused, type Accepted, type Refused } from "../auth-result.ts";
import { readPublicKey, type SigningKeyOptions } from "./options.ts";

const minSecretBytes = 32;
const padded = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** @throws Error when the secret is not set, not base64 or too short. It quotes no part of the secret. */
function secretOf({ secret = "", secretEncoding, keyId }: SigningKeyOptions, services: Services): Buffer {
  const text = services.secrets.get(secret)?.trim();
  const where = `signatures.keys ${keyId}: OUTRIGGER_${secret}`;
  if (text === undefined) throw new Error(`${where} is not set`);
  if (secretEncoding === "base64" && !padded.test(text)) throw new Error(`${where} is not base64`);
  const bytes = Buffer.from(text, secretEncoding === "base64" ? "base64" : "utf8");
  if (bytes.length < minSecretBytes) throw new Error(`${where} needs at least ${minSecretBytes} bytes`);
  return bytes;
}

type Verify = (base: string, signature: Buffer) => boolean | Promise<boolean>;

function asymmetric(hash: string | null, key: Parameters<typeof verify>[2] & object): Verify {
  return (base, signature) =>
    new Promise((resolve) => {
      // On libuv's thread pool. An error means that the signature is bad.
      verify(hash, Buffer.from(base), key, signature, (error, good) => resolve(error === null && good));
    });
}

function hmac(secret: Buffer): Verify {
  return (base, signature) => {
    const mac = createHmac("sha256", secret).update(base).digest();
    return mac.length === signature.length && timingSafeEqual(mac, signature);
  };
}

function verifierOf(options: SigningKeyOptions, services: Services): Verify {
  const { algorithm, publicKey = "" } = options;
  if (algorithm === "hmac-sha256") return hmac(secretOf(options, services));
  const key = readPublicKey(publicKey);
  if (algorithm === "ed25519") return asymmetric(null, { key });
  if (algorithm === "ecdsa-p256-sha256") return asymmetric("sha256", { key, dsaEncoding: "ieee-p1363" });
  if (algorithm === "rsa-v1_5-sha256") return asymmetric("sha256", { key });
  // Section 3.3.1: MGF1 with SHA-512, a salt of 64 bytes.
  return asymmetric("sha512", { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 });
}

export class SigningKey {
  readonly algorithm: string;
  readonly verify: Verify;
  readonly #accepted: Accepted;
  readonly #over: Refused | undefined;
  readonly #ended: Refused;
  readonly badSignature: Refused;

  /** @throws Error when its secret is not set, not base64 or too short */
  constructor(options: SigningKeyOptions, services: Services) {
    const { keyId, userId, plan, scopes, roles, claims, expiresAt, disabled } = options;
    this.algorithm = options.algorithm;
    this.verify = verifierOf(options, services);
    const identity: Identity = {
      userId,
      plan,
      scopes,
      roles,
      claims,
      method: "signature",
      credentialId: keyId,
      expiresAt: expiresAt === undefined ? undefined : Date.parse(expiresAt),
    };
    this.#accepted = accepted(identity);
    this.#over = disabled ? refused("signature", "signature: key disabled", keyId) : undefined;
    this.#ended = refused("signature", "signature: key expired", keyId);
    this.badSignature = refused("signature", "signature: does not verify", keyId);
  }

  /** @returns whom the key identifies, or why it does not count now */
  holder(nowMs: number): Accepted | Refused {
    if (this.#over !== undefined) return this.#over;
    const { expiresAt } = this.#accepted.identity;
    return expiresAt !== undefined && expiresAt <= nowMs ? this.#ended : this.#accepted;
  }
}
