// Signs a document for one key in Redis: a compact JWS over its canonical JSON. The protected header holds the key, the
// time of the signature, the epoch and, if there is one, the expiry.
import { canonicalJson } from "../policy/document/digest.ts";
import type { SigningKey } from "./private-key.ts";

export interface SignatureFacts {
  readonly typ: string;
  /** The key in Redis without prefix: `policy`, `policy:<service>`, `apikey:<digest>`. */
  readonly for: string;
  readonly epoch?: number | undefined;
  /** Seconds since 1970. */
  readonly exp?: number | undefined;
}

/**
 * @param document a value that JSON can hold
 * @returns the compact JWS
 */
export async function signDocument(
  document: unknown,
  { key, kid }: SigningKey,
  facts: SignatureFacts,
  nowMs: number,
): Promise<string> {
  const { CompactSign } = await import("jose");
  return await new CompactSign(Buffer.from(canonicalJson(document)))
    .setProtectedHeader({ alg: "EdDSA", kid, ...facts, iat: Math.floor(nowMs / 1000) })
    .sign(key);
}

/**
 * How far an epoch may be ahead of the clock. Epochs are seconds since 1970, so that they rise even across machines
 * that know nothing of each other.
 */
const aheadSeconds = 86_400;

/**
 * @param last epoch of the document that the new one replaces
 * @returns the epoch for a document that is signed now; undefined when `last` is further ahead of this machine's clock
 * than a clock may be wrong
 */
export function nextEpoch(nowMs: number, last = 0): number | undefined {
  const now = Math.floor(nowMs / 1000);
  return last >= now + aheadSeconds ? undefined : Math.max(now, last + 1);
}
