// Raw documents -> effective policy: open the signature, parse strictly, judge, name by digest. The sidecar,
// `policy validate` and `policy show --effective` all go through here.
import type { HostPattern, PublicKeySet, UpstreamAddress } from "../config-formats.ts";
import { isUpstreamAllowed } from "../config-formats.ts";
import { canonicalJson, digestOf } from "./digest.ts";
import { type Judged, judge } from "./judge.ts";
import { type ParsedPolicy, type PolicyFormat, createPolicyParser, defaultMaxBytes } from "./parse.ts";
import { type Problem, PolicyRefused } from "./problems.ts";
import type { PolicyPlugins } from "./schema.ts";
import { type Signed, createPolicyOpener } from "./signature.ts";
import type { SourceDocument } from "./written.ts";

/** The documents as their source has them, signatures included. */
export interface RawPolicy {
  readonly shared: Uint8Array;
  readonly layer: Uint8Array | undefined;
  readonly format: PolicyFormat;
  /** The layer was in force before, or nothing is known of what was: what does not fit is overruled, not refused. */
  readonly standing?: boolean;
}

export interface EffectivePolicy extends Judged {
  /** SHA-256, hex, of the canonical effective document: what two sidecars of a service compare. */
  readonly digest: string;
  /** The weakest of the documents. */
  readonly signed: Signed;
}

export interface PolicyReaderOptions {
  readonly plugins: PolicyPlugins;
  /** Whose policy; undefined = the documents are only checked, for all services. */
  readonly service: string | undefined;
  /** Hosts besides loopback that routes may name; undefined = any. */
  readonly upstreamAllow: readonly HostPattern[] | undefined;
  /** The service's own upstream, for its layer's routes. Default: layers' upstreams are not looked at. */
  readonly ownUpstream?: UpstreamAddress | undefined;
  readonly keys: PublicKeySet | undefined;
  readonly maxBytes?: number | undefined;
}

/** Rejects with PolicyRefused, all problems in it. */
export type PolicyReader = (raw: RawPolicy) => Promise<EffectivePolicy>;

/** Rejects when a key cannot be used. */
export async function createPolicyReader(options: PolicyReaderOptions): Promise<PolicyReader> {
  const { plugins, service, ownUpstream, upstreamAllow, keys, maxBytes = defaultMaxBytes } = options;
  const open = await createPolicyOpener(keys, maxBytes);
  const parse = createPolicyParser({
    plugins,
    maxBytes,
    service,
    ...(upstreamAllow && { isUpstreamAllowed: (target) => isUpstreamAllowed(target, upstreamAllow) }),
  });
  const openAndParse = async (bytes: Uint8Array, name: string, format: PolicyFormat): Promise<Opened> => {
    const opened = await open(bytes, name);
    const parsed = parse(opened.bytes, opened.signed === "no" ? format : "json");
    return { ...parsed, name, signed: opened.signed };
  };
  return async function readPolicy({ shared, layer, format, standing = false }) {
    const problems: Problem[] = [];
    const read = async (bytes: Uint8Array, name: string): Promise<Opened | undefined> => {
      try {
        return await openAndParse(bytes, name, format);
      } catch (error) {
        if (!(error instanceof PolicyRefused)) throw error;
        problems.push(...error.problems.map((problem) => ({ ...problem, document: name })));
        return undefined;
      }
    };
    const lower = await read(shared, sharedKey);
    const upper = layer === undefined ? undefined : await read(layer, layerKey(service ?? ""));
    if (lower === undefined || problems.length > 0) throw new PolicyRefused(problems);
    const judged = await judge(lower, upper, standing, { plugins, service, ownUpstream });
    return {
      ...judged,
      digest: digestOf(canonicalJson(judged.document)),
      signed: signedOf(upper === undefined ? [lower] : [lower, upper]),
    };
  };
}

export const sharedKey = "policy";
export const layerKey = (service: string): string => `${sharedKey}:${service}`;

type Opened = ParsedPolicy & SourceDocument & { readonly signed: Signed };

function signedOf(documents: readonly Opened[]): Signed {
  return (
    (["no", "unverified", "verified"] as const).find((level) =>
      documents.some(({ signed }) => signed === level),
    ) ?? "no"
  );
}
