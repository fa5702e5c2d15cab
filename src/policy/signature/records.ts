// Opens records in Redis that operators sign with the policies' keys. Each is a compact JWS for one key in Redis, of
// one type.
import type { StoreSignatures } from "../../plugin-api/store.ts";
import { PolicyRefused } from "../document/problems.ts";
import { compactJws, payloadOf, readClaims, signerOf } from "./jws.ts";
import { sameKeys, type VerifyKey } from "./verify-keys.ts";

export const apiKeyType = "outrigger-api-key+jws";

const maxBytes = 1_048_576;

/**
 * @param key the record's key in Redis, without prefix
 * @param typ required `typ` of the JWS header
 * @param nowMs epoch milliseconds
 * @returns the signed text; undefined = none of the keys has signed it for this key, or it has expired
 */
export async function openRecord(
  key: string,
  text: string,
  typ: string,
  trusted: readonly VerifyKey[],
  nowMs: number,
): Promise<string | undefined> {
  const token = compactJws(Buffer.from(text), maxBytes);
  if (token === undefined) return undefined;
  try {
    const claims = readClaims(token);
    const { exp } = claims;
    if (claims.typ !== typ || claims.for !== key || (exp !== undefined && exp * 1000 <= nowMs))
      return undefined;
    const signer = await signerOf(token, claims, trusted);
    return signer === undefined ? undefined : payloadOf(token).toString();
  } catch (error) {
    if (error instanceof PolicyRefused) return undefined;
    throw error;
  }
}

/** Checks signatures for plugins, with the keys that count now, whatever policy is in force. */
export class RecordSignatures implements StoreSignatures {
  generation = 0;
  readonly #now: () => number;
  #trusted: readonly VerifyKey[] = [];

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  use(trusted: readonly VerifyKey[]): void {
    if (sameKeys(this.#trusted, trusted)) return;
    this.#trusted = trusted;
    this.generation += 1;
  }

  open(key: string, text: string): Promise<string | undefined> {
    return openRecord(key, text, apiKeyType, this.#trusted, this.#now());
  }
}
