// Encrypts what browsers and Redis keep for us: JWE `dir` with A256GCM (RFC 7516), the first key encrypts, all decrypt.
import { createHmac, hash, hkdfSync, timingSafeEqual } from "node:crypto";
import { CompactEncrypt, compactDecrypt } from "jose";
import { readSessionKeys } from "./session-keys.ts";

/** What a sealed text is for: one must not pass for the other (RFC 8725 section 2.8). */
export type Purpose = "session" | "login" | "return" | "refreshed" | "stored";

interface VaultKey {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** For marks, not for encryption. */
  readonly marking: Uint8Array;
}

export class CookieSealer {
  readonly #keys: readonly VaultKey[];

  /**
   * @param secret keys as base64url of 32 bytes, separated by commas
   * @param name of the secret, for the error
   * @throws Error when there is none, or one of another length
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

  /** Says that a text is from here, without hiding it. */
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

  /** @returns undefined for whatever was not sealed here for this purpose */
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
