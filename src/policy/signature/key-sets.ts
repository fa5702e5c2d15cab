// Keys that came later: a document under `policy-keys`, signed by a key that counts, names further keys and those that
// are revoked, so that keys change without a restart of the fleet. OUTRIGGER_POLICY_KEYS stays what all trust begins with.
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import { compactJws, payloadOf, readClaims, signerOf } from "./jws.ts";
import { refused } from "../document/parse.ts";
import { type Problem, PolicyRefused } from "../document/problems.ts";
import { importKeys, sameKeys, type VerifyKey } from "./verify-keys.ts";

export const keySetKey = "policy-keys";
export const keySetType = "outrigger-policy-keys+jws";

/** Longest document of keys. */
export const keySetMaxBytes = 65_536;
/** Documents that the last one may need before it, itself included. */
export const maxKeySets = 32;

const shape = z.strictObject({
  keys: z.array(z.record(z.string(), z.unknown())).max(32),
  /** Thumbprints (RFC 7638, SHA-256). */
  revoked: z.array(z.string().regex(/^[\w-]{43}$/)).max(1_000),
});

export type KeySet = z.output<typeof shape>;

/** Who may sign, by the settings and by the documents that came later. */
export interface Trust {
  readonly keys: readonly VerifyKey[];
  /** The documents that count, oldest first. */
  readonly keySets: readonly Uint8Array[];
  /** Of the last one; 0 = none counts. */
  readonly epoch: number;
  /** Why the last document does not count. */
  readonly problems: readonly Problem[];
}

/** @param root keys of the settings @param documents oldest first */
export async function trustAfter(
  root: readonly VerifyKey[],
  documents: readonly Uint8Array[],
): Promise<Trust> {
  let trust: Trust = { keys: root, keySets: [], epoch: 0, problems: [] };
  for (const document of documents) {
    try {
      const { epoch, keys } = await openKeySet(document, root, trust);
      trust = { keys, epoch, keySets: [...trust.keySets, document], problems: [] };
    } catch (error) {
      if (!(error instanceof PolicyRefused)) throw error;
      trust = { ...trust, problems: error.problems.map((each) => ({ ...each, document: keySetKey })) };
    }
  }
  return trust;
}

/**
 * The same trust by fewer documents: those alone without which the last one would not count. One that is needed is never
 * left out: the keys of the settings would count again, revoked ones too.
 */
export async function byFewest(
  whole: Trust,
  trustBy: (documents: readonly Uint8Array[]) => Promise<Trust>,
): Promise<Trust> {
  let least = whole;
  for (const document of whole.keySets.slice(0, -1).toReversed()) {
    const fewer = await trustBy(least.keySets.filter((each) => each !== document));
    if (fewer.epoch === whole.epoch && sameKeys(fewer.keys, whole.keys)) least = fewer;
  }
  return { ...least, problems: whole.problems };
}

async function openKeySet(
  document: Uint8Array,
  root: readonly VerifyKey[],
  { keys, epoch: last }: Trust,
): Promise<{ epoch: number; keys: readonly VerifyKey[] }> {
  const token = compactJws(document, keySetMaxBytes);
  if (token === undefined) throw refused("is not signed");
  const claims = readClaims(token);
  const { typ, epoch } = claims;
  if (typ !== keySetType || claims.for !== keySetKey || epoch === undefined)
    throw refused(`is no document of keys: its JWS header needs typ ${keySetType}, for and epoch`);
  if ((await signerOf(token, claims, keys)) === undefined)
    throw refused("is not signed by a key that counts");
  if (epoch <= last) throw refused(`is of epoch ${epoch}, and one of epoch ${last} counts`);
  const { keys: named, revoked } = parseKeySet(payloadOf(token).toString());
  const imported = await importKeys({ keys: named }).catch((error: unknown) => {
    throw refused((error as Error).message);
  });
  // A document that takes over the keys of the settings names them, too.
  const known = new Map([...root, ...imported].map((key) => [key.thumbprint, key]));
  const counting = [...known.values()].filter(({ thumbprint }) => !revoked.includes(thumbprint));
  if (counting.length === 0) throw refused("leaves no key");
  return { epoch, keys: counting };
}

/** Throws PolicyRefused. */
export function parseKeySet(json: string): KeySet {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    throw refused(`is ${(error as SyntaxError).message}`);
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success)
    throw refused(`is no document of keys: ${parsed.error.issues[0]?.path.join(".") ?? ""}`);
  return parsed.data;
}
