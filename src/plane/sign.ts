// Signs a document for one key in Redis: a compact JWS over its canonical JSON, whose protected header says for which
// key it is, when it was signed, its epoch and, where it has one, its end.
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

/** @param document JSON-able */
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

/** Epochs are seconds since 1970, so that they rise on machines that know nothing of each other, too. */
const aheadSeconds = 86_400;

/**
 * The epoch of a document that is signed now.
 * @param last the epoch of what it takes the place of
 * @returns undefined when that is further ahead of this machine's clock than a clock may be wrong
 */
export function nextEpoch(nowMs: number, last = 0): number | undefined {
  const now = Math.floor(nowMs / 1000);
  return last >= now + aheadSeconds ? undefined : Math.max(now, last + 1);
}
