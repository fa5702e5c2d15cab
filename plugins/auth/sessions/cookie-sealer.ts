// Encrypts what browsers and Redis keep for the sidecar: JWE `dir` with A256GCM (RFC 7516). All keys decrypt, and the
// first one encrypts.
import { createHmac, hash, hkdfSync, timingSafeEqual } from "node:crypto";
import { CompactEncrypt, compactDecrypt } from "jose";
import { readSessionKeys } from "./session-keys.ts";

/** What a sealed text is for. A text for one purpose must not pass for another (RFC 8725 section 2.8). */
export type Purpose = "session" | "login" | "return" | "refreshed" | "stored";

interface VaultKey {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** For marks only, not for encryption. */
  readonly marking: Uint8Array;
}

export class CookieSealer {
  readonly #keys: readonly VaultKey[];

  /**
   * @param secret keys as base64url of 32 bytes, separated by commas
   * @param name of the secret, for the error
   * @throws Error when there is no key, or one of another length
   */
  constructor(secret: string | undefined, name: string) {
    const keys = readSessionKeys(secret ?? "");
    if (keys === undefined)
      throw new Error(`${name} must hold keys of 32 bytes in base64url, separated by commas`);
    this.#keys = keys.map((bytes) => ({
      id: hash("sha256", bytes, "base64url").slice(0, 8),
      bytes: new Uint8Array(bytes),
      marking: new Uint8Array(hkdfSync("sha256", bytes, "", "outrigger mark", 32)),
    }));
  }

  async seal(purpose: Purpose, value: unknown): Promise<string> {
    const [key] = this.#keys as [VaultKey];
    return await new CompactEncrypt(new TextEncoder().encode(JSON.stringify(value)))
      .setProtectedHeader({ alg: "dir", enc: "A256GCM", typ: purpose, kid: key.id })
      .encrypt(key.bytes);
  }

  /** @returns a MAC that proves a text comes from here, without hiding the text */
  mark(text: string): string {
    const [key] = this.#keys as [VaultKey];
    return markOf(key, text).toString("base64url");
  }

  isMarked(text: string, mark: string): boolean {
    const presented = Buffer.from(mark, "base64url");
    return this.#keys.some((key) => {
      const right = markOf(key, text);
      return right.length === presented.length && timingSafeEqual(right, presented);
    });
  }

  /** @returns the value; undefined for anything that was not sealed here for this purpose */
  async open(purpose: Purpose, sealed: string): Promise<unknown> {
    try {
      const { plaintext, protectedHeader } = await compactDecrypt(
        sealed,
        (header) => {
          const key = this.#keys.find(({ id }) => id === header?.kid);
          if (key === undefined) throw new Error("unknown key");
          return key.bytes;
        },
        { keyManagementAlgorithms: ["dir"], contentEncryptionAlgorithms: ["A256GCM"] },
      );
      if (protectedHeader["typ"] !== purpose) return undefined;
      return JSON.parse(new TextDecoder().decode(plaintext));
    } catch {
      return undefined;
    }
  }
}

function markOf({ marking }: VaultKey, text: string): Buffer {
  return createHmac("sha256", marking).update(text).digest();
}
