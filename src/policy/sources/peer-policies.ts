// The signed policy that a sidecar has in force, as it shows it to its siblings, and what these make of it. Nothing of it is
// taken on trust: it goes through the same checks as what Redis holds.
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import type { RawPolicy } from "../read.ts";
import { digestsOf } from "../status.ts";
import { compactJws, readClaims } from "../signature/jws.ts";
import { keySetMaxBytes, maxKeySets } from "../signature/key-sets.ts";

/** Their policies, those of the highest epochs first. Rejects when nobody has one, saying what each said. */
export type AskPeers = () => Promise<readonly RawPolicy[]>;

/** What `GET /policy/signed` shows. */
export interface SignedPolicy {
  readonly service: string;
  readonly shared: string;
  readonly layer: string | null;
  /** Documents of keys that count, oldest first. */
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

/** @returns the documents, checked by nobody, or why they are of no use here */
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
 * Highest epochs first: one that is behind, or lies, is asked about last. Equal ones once. Each comes with all of their
 * documents of keys, oldest first: who hides that a key is revoked brings nothing that is signed by it past who does not.
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
