// What commands that sign take, and how a document becomes a signed one.
import { parseDuration } from "../language/duration.ts";
import type { SigningKey } from "../plane/private-key.ts";
import { nextEpoch, signDocument } from "../plane/sign.ts";
import { policyType } from "../policy/signature/signature.ts";

export interface SigningOptions {
  /** A file with the private key. */
  readonly key?: string;
  readonly expires?: string;
  readonly epoch?: string;
}

export interface SigningWish {
  readonly keyFile: string;
  readonly lifetimeMs: number | undefined;
  readonly epoch: number | undefined;
}

/** @returns what is asked for; a text = what is wrong with that; undefined = nothing is to be signed */
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

/** The epoch of what a document takes the place of is too far ahead for an epoch to be chosen after it. */
export class EpochRefusal extends Error {
  override readonly name = "EpochRefusal";
}

/**
 * @param name of the document's key in Redis
 * @param last the epoch of what it takes the place of
 * Rejects with EpochRefusal.
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
