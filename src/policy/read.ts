// Raw documents -> effective policy: open the signature, parse strictly, get extensions, judge, name by digest. The sidecar,
// `policy validate` and `policy show --effective` all go through here.
import type { HostPattern, PublicKeySet, UpstreamAddress } from "../config/formats.ts";
import { isUpstreamAllowed } from "../config/formats.ts";
import type { Extension } from "../extensions/entry.ts";
import { PackagesRefused } from "../extensions/package-store.ts";
import { canonicalJson, digestOf } from "./document/digest.ts";
import { type FindPackages, resolveExtensions } from "./extensions/resolve.ts";
import { scopeExtensions } from "./extensions/scope.ts";
import { absentPlugins, withoutAbsent } from "./layers/absent.ts";
import { type Judged, judge } from "./layers/judge.ts";
import {
  type ParsedPolicy,
  type PolicyFormat,
  createPolicyParser,
  defaultMaxBytes,
} from "./document/parse.ts";
import { type Problem, PolicyRefused } from "./document/problems.ts";
import type { PolicyPlugins } from "./document/schema.ts";
import type { Claims } from "./signature/jws.ts";
import { type Trust, trustAfter } from "./signature/key-sets.ts";
import { type Signed, openPolicy } from "./signature/signature.ts";
import { importKeys, type VerifyKey } from "./signature/verify-keys.ts";
import type { SourceDocument } from "./document/written.ts";

/** The documents as their source has them, signatures included. */
export interface RawPolicy {
  readonly shared: Uint8Array;
  readonly layer: Uint8Array | undefined;
  readonly format: PolicyFormat;
  /** Documents of keys that came later (key-sets.ts), oldest first. */
  readonly keySets?: readonly Uint8Array[];
  /** The layer was in force before, or nothing is known of what was: what does not fit is overruled, not refused. */
  readonly standing?: boolean;
}

/** A document whose signature was verified. */
export interface SignedDocument {
  readonly name: string;
  readonly claims: Claims;
  /** SHA-256, hex, of what was signed. */
  readonly digest: string;
}

export interface EffectivePolicy extends Judged {
  /** SHA-256, hex, of the canonical effective document: what two sidecars of a service compare. */
  readonly digest: string;
  /** The weakest of the documents. */
  readonly signed: Signed;
  /** Of the documents that were verified. */
  readonly signatures: readonly SignedDocument[];
  /** Plugins that it brings for this service. */
  readonly extensions: readonly Extension[];
}

export interface PolicyReaderOptions {
  /** Those that are built in. */
  readonly plugins: PolicyPlugins;
  /** Asked once signatures are verified. Default: policies with extensions are refused. */
  readonly packages?: FindPackages | undefined;
  /** Whose policy; undefined = the documents are only checked, for all services. */
  readonly service: string | undefined;
  /** Hosts besides loopback that routes may name; undefined = any. */
  readonly upstreamAllow: readonly HostPattern[] | undefined;
  /** The service's own upstream, for its layer's routes. Default: layers' upstreams are not looked at. */
  readonly ownUpstream?: UpstreamAddress | undefined;
  readonly keys: PublicKeySet | undefined;
  readonly maxBytes?: number | undefined;
}

/** Rejects with PolicyRefused, all problems in it, or, when the signal says that nobody waits any more, with its reason. */
export type PolicyReader = (raw: RawPolicy, signal?: AbortSignal) => Promise<EffectivePolicy>;

/** Rejects when a key cannot be used. */
export async function createPolicyReader(options: PolicyReaderOptions): Promise<PolicyReader> {
  const { plugins: builtIn, service, ownUpstream, keys, maxBytes = defaultMaxBytes } = options;
  const { packages = noPackages } = options;
  const trust = keys && (await createTrust(keys));
  const open = openerFor(options, maxBytes);
  return async function readPolicy(raw, signal) {
    const { keySets = [], standing = false } = raw;
    const { lower, upper } = await open(raw, (await trust?.(keySets))?.keys);
    const { extensions, plugins } = await resolveExtensions(lower, builtIn, packages, signal);
    const absent = upper === undefined ? new Map<string, Problem>() : absentPlugins(upper, plugins);
    const judging = { plugins, service, ownUpstream, maxBytes };
    const judged = withoutAbsent(await judge(lower, upper, standing, judging), absent);
    const documents = upper === undefined ? [lower] : [lower, upper];
    return {
      ...judged,
      digest: digestOf(canonicalJson(judged.document)),
      signed: signedOf(documents),
      signatures: documents.flatMap(({ signature }) => signature ?? []),
      extensions,
    };
  };
}

type Open = (
  raw: RawPolicy,
  trusted: readonly VerifyKey[] | undefined,
) => Promise<{ readonly lower: Opened; readonly upper: Opened | undefined }>;

/** @returns opens and parses both documents; rejects with PolicyRefused, the problems of both in it */
function openerFor(options: PolicyReaderOptions, maxBytes: number): Open {
  const { service } = options;
  const parser = parserFor(options, maxBytes);
  return async ({ shared, layer, format, standing }, trusted) => {
    const problems: Problem[] = [];
    const read = async (bytes: Uint8Array, name: string, parse: ParseOne): Promise<Opened | undefined> => {
      try {
        const { bytes: own, signed, claims } = await openPolicy(bytes, name, trusted, maxBytes);
        const signature = claims && { name, claims, digest: digestOf(own) };
        return { ...parse(own, signed === "no" ? format : "json"), name, signed, signature };
      } catch (error) {
        if (!(error instanceof PolicyRefused)) throw error;
        problems.push(...error.problems.map((problem) => ({ ...problem, document: name })));
        return undefined;
      }
    };
    const parsed = await read(shared, sharedKey, parser);
    const lower = parsed && { ...parsed, document: scopeExtensions(parsed.document, service) };
    const known = lower && Object.keys(lower.document.extensions ?? {});
    // A layer that stood before holds no shared policy back by extensions that this has no more.
    const parseLayer: ParseOne = (bytes, as) =>
      parser.layer(bytes, as, standing === true ? undefined : known);
    const upper = layer === undefined ? undefined : await read(layer, layerKey(service ?? ""), parseLayer);
    if (lower === undefined || problems.length > 0) throw new PolicyRefused(problems);
    return { lower, upper };
  };
}

type ParseOne = (bytes: Uint8Array, format: PolicyFormat) => ParsedPolicy;

const noPackages: FindPackages = (entries) => {
  const message = "extensions are not taken here";
  const refused = Object.keys(entries).map((name) => ({ name, field: undefined, message, transient: false }));
  return Promise.reject(new PackagesRefused(refused));
};

function parserFor({ plugins, service, upstreamAllow }: PolicyReaderOptions, maxBytes: number) {
  return createPolicyParser({
    plugins,
    maxBytes,
    service,
    ...(upstreamAllow && { isUpstreamAllowed: (target) => isUpstreamAllowed(target, upstreamAllow) }),
  });
}

/** Rejects when a key cannot be used. @returns who may sign, given the documents of keys that came later */
export async function createTrust(
  keys: PublicKeySet,
): Promise<(keySets: readonly Uint8Array[]) => Promise<Trust>> {
  const root = await importKeys(keys);
  return (keySets) => trustAfter(root, keySets);
}

export const sharedKey = "policy";
export const layerKey = (service: string): string => `${sharedKey}:${service}`;

type Opened = ParsedPolicy &
  SourceDocument & { readonly signed: Signed; readonly signature: SignedDocument | undefined };

function signedOf(documents: readonly Opened[]): Signed {
  return (
    (["no", "unverified", "verified"] as const).find((level) =>
      documents.some(({ signed }) => signed === level),
    ) ?? "no"
  );
}
