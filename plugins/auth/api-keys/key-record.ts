// Parses the record of one API key from Redis. It is strict: a record that it does not understand lets nobody in.
import { z } from "zod";
import { hasDoubledMember } from "../../../src/language/doubled-members.ts";
import { withExactIntegers } from "../../../src/language/exact-integers.ts";
import { parseJson } from "../../../src/language/json.ts";
import { compileNetworks, network } from "../../../src/language/network.ts";
import type { Identity, StoreSignatures } from "../../../src/plugin-api/contract.ts";
import { accepted, type Accepted } from "../auth-result.ts";
import { identityText } from "../option-fields.ts";

/**
 * The end of the year 9999. A later value is no date but has another unit, such as microseconds, and would never end.
 */
const lastMs = 253_402_300_799_999;

const text = z.string().regex(identityText, "must be 1 to 256 characters without control characters");

/** The members that auth reads. Others may stand beside them and are ignored. */
const recordShape = z.looseObject({
  id: text,
  userId: text,
  plan: text.nullish(),
  scopes: z.array(text),
  roles: z.array(text).nullish(),
  claims: z.record(z.string(), z.unknown()).nullish(),
  disabled: z.boolean().nullish(),
  /** ISO 8601, or epoch seconds, or epoch milliseconds (above 1e11). */
  expiresAt: z
    .union([
      z.iso.datetime({ offset: true }),
      z.number().positive().max(lastMs, "must be before the year 10000"),
    ])
    .nullish(),
  cidrs: z.array(network).nullish(),
  services: z.array(text).nullish(),
});

/** A parsed record, as requests are checked against it. */
export interface KeyRecord {
  readonly id: string;
  readonly disabled: boolean;
  /** Epoch milliseconds; Infinity = never. */
  readonly expiresAtMs: number;
  readonly services: readonly string[] | undefined;
  readonly allowsAddress: ((address: string) => boolean) | undefined;
  readonly result: Accepted;
}

function epochMs(value: string | number | null | undefined): number {
  if (value === undefined || value === null) return Infinity;
  if (typeof value === "string") return Date.parse(value);
  return value < 1e11 ? value * 1000 : value;
}

/** @throws Error that names the fault, but none of the record's values */
export function keyRecord(input: unknown): KeyRecord {
  const parsed = recordShape.safeParse(input);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      (issue) => `${issue.path.join(".") || "record"}: ${issue.message}`,
    );
    throw new Error(faults.join("; "));
  }
  const record = parsed.data;
  const expiresAtMs = epochMs(record.expiresAt);
  const identity: Identity = {
    userId: record.userId,
    plan: record.plan ?? undefined,
    scopes: record.scopes,
    roles: record.roles ?? [],
    method: "api-key",
    credentialId: record.id,
    claims: record.claims ?? {},
    ...(expiresAtMs === Infinity ? {} : { expiresAt: expiresAtMs }),
  };
  return {
    id: record.id,
    disabled: record.disabled ?? false,
    expiresAtMs,
    services: record.services ?? undefined,
    allowsAddress: record.cidrs ? compileNetworks(record.cidrs) : undefined,
    result: accepted(identity),
  };
}

/** @returns the payload of a signed record, not verified; the text itself when it is not signed */
export function recordJson(text: string): { readonly json: string; readonly isJws: boolean } {
  const [, payload] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(text.trim()) ?? [];
  if (payload === undefined) return { json: text, isJws: false };
  return { json: Buffer.from(payload, "base64url").toString(), isJws: true };
}

/**
 * @param signatures undefined = no signature can be verified: a signed record then counts as unsigned
 * Rejects when no key that counts has signed it.
 */
export async function openKeyRecord(
  text: string,
  storeKey: string,
  signatures: StoreSignatures | undefined,
): Promise<{ readonly json: string; readonly signed: boolean }> {
  const { json, isJws } = recordJson(text);
  if (!isJws || signatures === undefined) return { json, signed: false };
  const opened = await signatures.open(storeKey, text);
  if (opened === undefined)
    throw new Error("record: is signed by no key that counts, or for another API key");
  return { json: opened, signed: true };
}

/** @throws Error when the text is not JSON, is nested too deeply, names a member twice or lacks what a record needs */
export function parseKeyRecord(json: string): KeyRecord {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    throw new Error(`record: ${(error as SyntaxError).message}`, { cause: error });
  }
  // With two `disabled`, this parser would take the last one; the author may have meant the other.
  if (hasDoubledMember(json, value)) throw new Error("record: names a member twice");
  return keyRecord(withExactIntegers(json, value));
}
