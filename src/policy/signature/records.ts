// Records in Redis that operators sign with the keys of policies: a compact JWS for one key in Redis, of one kind.
import type { StoreSignatures } from "../../plugin-api/store.ts";
import { PolicyRefused } from "../document/problems.ts";
import { compactJws, payloadOf, readClaims, signerOf } from "./jws.ts";
import { sameKeys, type VerifyKey } from "./verify-keys.ts";

export const apiKeyType = "outrigger-api-key+jws";

const maxBytes = 1_048_576;

/**
 * @param key where it lies in Redis, without prefix
 * @returns what was signed for there; undefined = no key of these has signed it for there, or it is over
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

/** What plugins ask of signatures, by the keys that count now, whatever policy is in force. */
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
