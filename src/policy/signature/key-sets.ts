// Reads key documents. A document under `policy-keys`, signed by a key that counts, adds further keys and revokes keys,
// so that keys change without a restart of the fleet. All trust still begins with OUTRIGGER_POLICY_KEYS.
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import { compactJws, payloadOf, readClaims, signerOf } from "./jws.ts";
import { refused } from "../document/parse.ts";
import { type Problem, PolicyRefused } from "../document/problems.ts";
import { importKeys, sameKeys, type VerifyKey } from "./verify-keys.ts";

export const keySetKey = "policy-keys";
export const keySetType = "outrigger-policy-keys+jws";

/** Size limit of a key document. */
export const keySetMaxBytes = 65_536;
/** Longest chain of key documents that lead to the last one, itself included. */
export const maxKeySets = 32;

const shape = z.strictObject({
  keys: z.array(z.record(z.string(), z.unknown())).max(32),
  /** JWK thumbprints (RFC 7638, SHA-256). */
  revoked: z.array(z.string().regex(/^[\w-]{43}$/)).max(1_000),
});

export type KeySet = z.output<typeof shape>;

/** Who may sign, according to the settings and the key documents. */
export interface Trust {
  readonly keys: readonly VerifyKey[];
  /** The key documents that count, oldest first. */
  readonly keySets: readonly Uint8Array[];
  /** The last document's epoch; 0 = no document counts. */
  readonly epoch: number;
  /** Why the last document does not count. */
  readonly problems: readonly Problem[];
}

/**
 * @param root keys of the settings
 * @param documents oldest first
 * @returns who may sign once every document has been applied
 */
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
 * Reduces the trust to the documents without which the last one would not count. A needed document is never left out:
 * the settings' keys would count again, revoked ones too.
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
  // A document may also name keys of the settings: each key counts once.
  const known = new Map([...root, ...imported].map((key) => [key.thumbprint, key]));
  const counting = [...known.values()].filter(({ thumbprint }) => !revoked.includes(thumbprint));
  if (counting.length === 0) throw refused("leaves no key");
  return { epoch, keys: counting };
}

/** Parses the JSON of a key document. Throws PolicyRefused. */
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
