// Uses OUTRIGGER_AUDIT_KEY: signs heads of the chain (Ed25519). Keys derived from it by HKDF (RFC 5869) wrap the
// subjects' keys and make the names under which these are stored. The public half is enough to verify.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from "node:crypto";

/** An Ed25519 key (RFC 8037) as given in the setting. */
export interface AuditJwk {
  readonly x: string;
  readonly d: string;
}

const nonceBytes = 12;
const tagBytes = 16;

/** Verifies heads signed by any of these keys. */
export class HeadVerifier {
  readonly #keys: ReadonlyMap<string, KeyObject>;

  /** @param publicKeys member `x` of each JWK */
  constructor(publicKeys: readonly string[]) {
    this.#keys = new Map(publicKeys.map((x) => [thumbprint(x), publicKey(x)]));
  }

  /** @returns undefined when no key has this kid */
  verify(kid: string, signed: string, signature: string): boolean | undefined {
    const key = this.#keys.get(kid);
    if (key === undefined) return undefined;
    const bytes = Buffer.from(signature, "base64url");
    // base64url has spare bits: a signature changed only in them must not pass.
    return bytes.toString("base64url") === signature && verify(null, Buffer.from(signed), key, bytes);
  }
}

/** One private key. */
export class AuditKey {
  /** Thumbprint of the public key (RFC 7638). */
  readonly kid: string;
  readonly publicKey: string;
  readonly #key: KeyObject;
  readonly #secret: Buffer;
  readonly #wrapping: Buffer;
  readonly #naming = new Map<string, Buffer>();

  constructor({ x, d }: AuditJwk) {
    this.kid = thumbprint(x);
    this.publicKey = x;
    this.#key = createPrivateKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x, d } });
    this.#secret = Buffer.from(d, "base64url");
    this.#wrapping = this.#derive("wrapping of subjects' keys");
  }

  /** @returns base64url */
  sign(text: string): string {
    return sign(null, Buffer.from(text), this.#key).toString("base64url");
  }

  /**
   * The name under which a subject's key is stored. It differs in each period, and cannot be guessed without this key.
   */
  pseudonym(period: string, subject: string): string {
    let naming = this.#naming.get(period);
    if (naming === undefined) {
      naming = this.#derive(`names of subjects ${period}`);
      // Bounds the cache: a sidecar needs one period, a search as many as the retention has months.
      if (this.#naming.size >= 64) this.#naming.clear();
      this.#naming.set(period, naming);
    }
    return createHmac("sha256", naming).update(subject).digest().subarray(0, 18).toString("base64url");
  }

  wrap(key: Buffer): string {
    return encrypt(this.#wrapping, key, "");
  }

  /** @returns undefined for text that this key has not wrapped */
  unwrap(text: string): Buffer | undefined {
    return decrypt(this.#wrapping, text, "");
  }

  #derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync("sha256", this.#secret, "", `outrigger audit: ${purpose}`, 32));
  }
}

/** AES-256-GCM with a random nonce. @param context authenticated: decryption requires the same. @returns base64url */
export function encrypt(key: Buffer, plain: string | Buffer, context: string): string {
  const nonce = randomNonce();
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(context));
  const body = cipher.update(plain);
  return Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()]).toString("base64url");
}

/** @returns undefined unless `encrypt` made the text with this key and context */
export function decrypt(key: Buffer, text: string, context: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length < nonceBytes + tagBytes) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
  } catch {
    return undefined;
  }
}

// Nonces come from a pool: a call of the random source per record would cost more than the cipher.
let pool = randomBytes(0);
let used = 0;
function randomNonce(): Buffer {
  if (used + nonceBytes > pool.length) {
    pool = randomBytes(nonceBytes * 256);
    used = 0;
  }
  used += nonceBytes;
  return pool.subarray(used - nonceBytes, used);
}

function thumbprint(x: string): string {
  return createHash("sha256").update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest("base64url");
}

function publicKey(x: string): KeyObject {
  return createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } });
}
