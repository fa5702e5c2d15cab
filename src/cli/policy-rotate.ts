// Runs `outrigger policy rotate`: adds keys that may sign, and revokes others, by a document that an accepted key
// signs. Every sidecar takes it within a second. OUTRIGGER_POLICY_KEYS can be updated later, for sidecars that start.
import { ConfigError } from "../config/config.ts";
import { services } from "../plane/fleet.ts";
import { KeyFileRefusal, readSigningKey, type SigningKey } from "../plane/private-key.ts";
import { nextEpoch, signDocument } from "../plane/sign.ts";
import { canonicalJson } from "../policy/document/digest.ts";
import { compactJws, payloadOf, readClaims } from "../policy/signature/jws.ts";
import {
  type KeySet,
  keySetKey,
  keySetMaxBytes,
  keySetType,
  parseKeySet,
  type Trust,
} from "../policy/signature/key-sets.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { createTrust, layerKey, sharedKey } from "../policy/read.ts";
import { importKeys } from "../policy/signature/verify-keys.ts";
import type { Script } from "../plugin-api/store.ts";
import { configWithKeys } from "./config-with-keys.ts";
import { verifiedIn } from "./plane-trust.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface RotateOptions {
  readonly key: string;
  readonly trust?: string;
  readonly revoke?: readonly string[];
  readonly acceptOrphaned?: true;
  readonly json?: true;
}

const limitMs = 5_000;
const thumbprint = /^[\w-]{43}$/;

/** KEYS: policy-keys. ARGV: its expected value ("" = absent), its new value. */
const replace: Script = {
  name: "policy-keys-replace",
  lua: `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`,
};

/** Throws ConfigError. @returns the exit code */
export async function rotateKeys(terminal: Terminal, options: RotateOptions): Promise<number> {
  const { trust: named, revoke = [], json } = options;
  if (named === undefined && revoke.length === 0) {
    terminal.err("--trust takes a JWKS of public keys, --revoke the kid of a key: one of them is needed\n");
    return 2;
  }
  const malformed = revoke.find((name) => !thumbprint.test(name));
  if (malformed !== undefined) {
    terminal.err(`--revoke takes the thumbprint of a key (43 characters), not "${printable(malformed)}"\n`);
    return 2;
  }
  return await withPlane(terminal, {}, async (plane) => {
    const { policyKeys } = plane.config;
    if (policyKeys === undefined)
      throw new ConfigError([
        "OUTRIGGER_POLICY_KEYS: is not set: give the keys that sidecars are started with",
      ]);
    const key = await readSigningKey(options.key);
    const trust = await createTrust(policyKeys);
    const before = await plane.store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2);
    const added = named === undefined ? [] : publicKeys(terminal, named);
    const content = await merged(await contentOf(trust, before), [...policyKeys.keys, ...added], revoke);
    const { epoch, token, counting } = await signed(key, content, trust, before);
    await refuseOrphans(plane, counting);
    const orphans = await orphanedLayers(plane, counting);
    if (orphans.length > 0 && options.acceptOrphaned !== true) throw new PlaneRefusal(orphansText(orphans));
    const args = [before ?? "", token];
    if ((await plane.store.run(replace, [keySetKey], args, limitMs)) !== 1)
      throw new PlaneRefusal("somebody else has changed the keys meanwhile: look, and try again");
    const kids = counting.map(({ thumbprint }) => thumbprint);
    if (json)
      terminal.out(`${JSON.stringify({ epoch, trusted: kids, revoked: content.revoked }, null, 2)}\n`);
    else terminal.out(`these keys may sign from now on: ${kids.join(", ")}\n`);
    terminal.err("bring OUTRIGGER_POLICY_KEYS up to date, too: sidecars that start begin with it\n");
    return 0;
  });
}

type CreatedTrust = (keySets: readonly Uint8Array[]) => Promise<Trust>;

/** The key set in force. A document that no accepted key signed is ignored. */
async function contentOf(trust: CreatedTrust, before: Buffer | null): Promise<KeySet> {
  const token = before === null ? undefined : compactJws(before, keySetMaxBytes);
  if (before === null || token === undefined || (await trust([before])).problems.length > 0)
    return { keys: [], revoked: [] };
  return parseKeySet(payloadOf(token).toString());
}

/** The epoch that the document claims, whoever signed it. */
function toldEpoch(document: Buffer | null): number {
  const token = document === null ? undefined : compactJws(document, keySetMaxBytes);
  try {
    return token === undefined ? 0 : (readClaims(token).epoch ?? 0);
  } catch (error) {
    if (error instanceof PolicyRefused) return 0;
    throw error;
  }
}

function publicKeys({ env }: Terminal, jwks: string): readonly Record<string, unknown>[] {
  return configWithKeys(env, jwks, "--trust").policyKeys?.keys ?? [];
}

/**
 * @param added includes the keys of the settings: sidecars that started with others know them only from this document
 */
async function merged(
  { keys, revoked }: KeySet,
  added: readonly Record<string, unknown>[],
  revoke: readonly string[],
): Promise<KeySet> {
  const unique = new Map([...keys, ...added].map((key) => [canonicalJson(key), key]));
  const all = [...unique.values()];
  const imported = await importKeys({ keys: all }).catch((error: unknown) => {
    throw new KeyFileRefusal(`--trust: ${(error as Error).message}`);
  });
  const gone = [...new Set([...revoked, ...revoke])];
  return { keys: all.filter((_, index) => !gone.includes(imported[index]?.thumbprint ?? "")), revoked: gone };
}

async function signed(
  key: SigningKey,
  content: KeySet,
  trust: CreatedTrust,
  before: Buffer | null,
): Promise<{ epoch: number; token: string; counting: Trust["keys"] }> {
  const nowMs = Date.now();
  const known = before === null ? 0 : (await trust([before])).epoch;
  // Sidecars may still accept a key set whose signing key the settings no longer name, so the new one must be newer
  // than it. A far too high epoch, which anybody may have written there, is ignored.
  const epoch = nextEpoch(nowMs, Math.max(known, toldEpoch(before))) ?? nextEpoch(nowMs, known);
  if (epoch === undefined)
    throw new PlaneRefusal(`the keys there have epoch ${known}, far ahead of this clock`);
  const facts = { typ: keySetType, for: keySetKey, epoch };
  const token = await signDocument(content, key, facts, nowMs);
  // Judged by the settings alone, because a sidecar that starts knows nothing else.
  const { problems, keys: counting } = await trust([Buffer.from(token)]);
  const [problem] = problems;
  if (problem !== undefined)
    throw new PlaneRefusal(
      `${problemText({ ...problem, document: "--key" })}: sidecars begin with OUTRIGGER_POLICY_KEYS; bring it up to date first`,
    );
  return { epoch, token, counting };
}

function orphansText(orphans: readonly string[]): string {
  const some = orphans.slice(0, 10).join(", ");
  const more = orphans.length > 10 ? ` and ${orphans.length - 10} more` : "";
  return `${some}${more} would be signed by no key that counts, so that sidecars of these services take no new policy, and none when they start: apply each with a key that stays, or add --accept-orphaned`;
}

/**
 * @returns the signed layers, of services with sidecars, that these keys do not verify. The settings need not name the
 * key that signed them
 */
async function orphanedLayers(plane: Plane, counting: Trust["keys"]): Promise<readonly string[]> {
  const orphans: string[] = [];
  for (const service of await services(plane.store)) {
    const name = layerKey(service);
    const document = await plane.store.getBytes(name, limitMs, 2 * plane.config.policyMaxBytes);
    if (document === null || compactJws(document, document.length) === undefined) continue;
    if ((await verifiedIn(plane, document, name, counting)) === undefined) orphans.push(name);
  }
  return orphans;
}

/** The policy in force must still be accepted by sidecars that start. */
async function refuseOrphans(plane: Plane, counting: Trust["keys"]): Promise<void> {
  const { document } = await plane.history.peek(undefined);
  if (document === undefined) return;
  if ((await verifiedIn(plane, document, sharedKey, counting)) !== undefined) return;
  throw new PlaneRefusal(
    "the policy there would be signed by no key that counts: apply it with one that stays, then revoke",
  );
}
