// Converts the signed policy that a sidecar has in force to the form that its siblings read, and back. Nothing in it is
// trusted: it passes the same checks as the content of Redis.
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import type { RawPolicy } from "../read.ts";
import { digestsOf } from "../status.ts";
import { compactJws, readClaims } from "../signature/jws.ts";
import { keySetMaxBytes, maxKeySets } from "../signature/key-sets.ts";

/** @returns the siblings' policies, highest epochs first. Rejects if none has one, with each sibling's answer. */
export type AskPeers = () => Promise<readonly RawPolicy[]>;

/** The answer of `GET /policy/signed`. */
export interface SignedPolicy {
  readonly service: string;
  readonly shared: string;
  readonly layer: string | null;
  /** The key documents that count, oldest first. */
  readonly keySets: readonly string[];
}

const signedPolicy = z.strictObject({
  service: z.string().max(200),
  shared: z.string(),
  layer: z.string().nullable(),
  keySets: z.array(z.string().max(keySetMaxBytes)).max(maxKeySets),
});

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");

export function signedPolicyOf(service: string, { shared, layer, keySets = [] }: RawPolicy): SignedPolicy {
  return {
    service,
    shared: text(shared),
    layer: layer === undefined ? null : text(layer),
    keySets: keySets.map(text),
  };
}

/** @returns the documents, not verified; a text = why they are of no use to this service */
export function readPeerPolicy(body: string, service: string): RawPolicy | string {
  const parsed = signedPolicy.safeParse(parsedJson(body));
  if (!parsed.success) return "sends no signed policy";
  const { shared, layer, keySets } = parsed.data;
  if (parsed.data.service !== service) return `is a sidecar of ${JSON.stringify(parsed.data.service)}`;
  return {
    shared: Buffer.from(shared),
    layer: layer === null ? undefined : Buffer.from(layer),
    format: "json",
    keySets: keySets.map((each) => Buffer.from(each)),
  };
}

function parsedJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/**
 * Sorts by epoch, highest first, so that an outdated or lying sibling comes last, and drops duplicates. Each policy
 * gets all siblings' key documents, oldest first: a sibling that hides a key's revocation cannot pass off what that key
 * signed.
 */
export function newestFirst(policies: readonly RawPolicy[], maxBytes: number): readonly RawPolicy[] {
  const epochOf = (bytes: Uint8Array | undefined): number => {
    const token = bytes && compactJws(bytes, maxBytes);
    try {
      return (token && readClaims(token).epoch) || 0;
    } catch {
      return 0;
    }
  };
  const sets = new Map(policies.flatMap(({ keySets = [] }) => keySets.map((each) => [text(each), each])));
  const keySets = [...sets.values()]
    .map((document) => ({ document, epoch: epochOf(document) }))
    .toSorted((a, b) => a.epoch - b.epoch)
    .map(({ document }) => document);
  const known = policies.map((raw): RawPolicy => ({ ...raw, keySets }));
  const different = [...new Map(known.map((raw) => [JSON.stringify(digestsOf(raw)), raw])).values()];
  return different
    .map((raw) => ({ raw, shared: epochOf(raw.shared), layer: epochOf(raw.layer) }))
    .toSorted((a, b) => b.shared - a.shared || b.layer - a.layer)
    .map(({ raw }) => raw);
}
