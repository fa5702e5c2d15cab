// Parses the options of commands that sign, and signs documents.
import { parseDuration } from "../language/duration.ts";
import type { SigningKey } from "../plane/private-key.ts";
import { nextEpoch, signDocument } from "../plane/sign.ts";
import { policyType } from "../policy/signature/signature.ts";

export interface SigningOptions {
  /** File with the private key. */
  readonly key?: string;
  readonly expires?: string;
  readonly epoch?: string;
}

export interface SigningWish {
  readonly keyFile: string;
  readonly lifetimeMs: number | undefined;
  readonly epoch: number | undefined;
}

/** @returns the parsed options; a text = what is wrong with them; undefined = sign nothing */
export function parseSigning({ key, expires, epoch }: SigningOptions): SigningWish | string | undefined {
  const lifetimeMs = expires === undefined ? undefined : parseDuration(expires);
  if (expires !== undefined && (lifetimeMs === undefined || lifetimeMs === 0))
    return "--expires takes a length of time such as 90d, 24h or 30m";
  if (epoch !== undefined && !(/^[1-9]\d{0,15}$/.test(epoch) && Number.isSafeInteger(Number(epoch))))
    return "--epoch takes a whole number from 1";
  if (key === undefined)
    return expires === undefined && epoch === undefined ? undefined : "--expires and --epoch go with --key";
  return { keyFile: key, lifetimeMs, epoch: epoch === undefined ? undefined : Number(epoch) };
}

/** The epoch of the replaced document is so far ahead that no later one can be chosen for it. */
export class EpochRefusal extends Error {
  override readonly name = "EpochRefusal";
}

/**
 * Signs a document. Rejects with EpochRefusal.
 * @param name name of the document's key in Redis
 * @param last epoch of the document that it replaces
 */
export async function signPolicy(
  document: unknown,
  name: string,
  key: SigningKey,
  { lifetimeMs, epoch: wanted }: SigningWish,
  last = 0,
): Promise<string> {
  const nowMs = Date.now();
  const epoch = wanted ?? nextEpoch(nowMs, last);
  if (epoch === undefined || epoch <= last)
    throw new EpochRefusal(
      `${name} there has epoch ${last}, and sidecars refuse a lower one: say which comes after it with --epoch`,
    );
  const exp = lifetimeMs === undefined ? undefined : Math.floor((nowMs + lifetimeMs) / 1000);
  return await signDocument(document, key, { typ: policyType, for: name, epoch, exp }, nowMs);
}
