// A machine that signs its requests (RFC 9421), written apart from the check: the base is put together as text by hand.
import { createHmac, randomUUID, sign, type KeyObject } from "node:crypto";

export interface ToSign {
  /** Identifier (`"@method"`, `"@query-param";name="a"`) and value, in order. */
  readonly covered: readonly (readonly [string, string])[];
  /** Over what is right; `undefined` leaves one out. Written as they stand. */
  readonly parameters?: Record<string, string | number | undefined>;
}

export class RequestSigner {
  readonly keyId: string;
  readonly #signs: (base: string) => Buffer;

  /** @param key a shared secret, or a private key and how it signs */
  constructor(keyId: string, key: string | { key: KeyObject; hash?: string; dsaEncoding?: "ieee-p1363" }) {
    this.keyId = keyId;
    this.#signs = (base) =>
      typeof key === "string"
        ? createHmac("sha256", key).update(base).digest()
        : sign(key.hash ?? null, Buffer.from(base), key);
  }

  /** The two fields. */
  fields({ covered, parameters = {} }: ToSign): string[] {
    const all = {
      created: Math.floor(Date.now() / 1000),
      keyid: this.keyId,
      nonce: randomUUID(),
      ...parameters,
    };
    const written = Object.entries(all).flatMap(([name, value]) => {
      if (value === undefined) return [];
      return [`;${name}=${typeof value === "number" ? value : JSON.stringify(value)}`];
    });
    const input = `(${covered.map(([identifier]) => identifier).join(" ")})${written.join("")}`;
    const lines = covered.map(([identifier, value]) => `${identifier}: ${value}`);
    const base = [...lines, `"@signature-params": ${input}`].join("\n");
    return ["Signature-Input", `sig=${input}`, "Signature", `sig=:${this.#signs(base).toString("base64")}:`];
  }
}
