// Reads raw documents into an effective policy: opens the signatures, parses strictly, gets the extensions, judges, and
// computes the digest. The sidecar, `policy validate` and `policy show --effective` all use this reader.
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

/** The documents as their source holds them, signatures included. */
export interface RawPolicy {
  readonly shared: Uint8Array;
  readonly layer: Uint8Array | undefined;
  readonly format: PolicyFormat;
  /** Key documents issued after the settings (key-sets.ts), oldest first. */
  readonly keySets?: readonly Uint8Array[];
  /**
   * The layer was in force before, or what was in force is unknown: parts that do not fit are overruled, not refused.
   */
  readonly standing?: boolean;
}

/** A document whose signature was verified. */
export interface SignedDocument {
  readonly name: string;
  readonly claims: Claims;
  /** SHA-256, in hex, of the signed bytes. */
  readonly digest: string;
}

export interface EffectivePolicy extends Judged {
  /** SHA-256, in hex, of the canonical effective document; sidecars of one service are compared by it. */
  readonly digest: string;
  /** The weakest state among the documents. */
  readonly signed: Signed;
  /** The documents that were verified. */
  readonly signatures: readonly SignedDocument[];
  /** The policy's extensions for this service. */
  readonly extensions: readonly Extension[];
}

export interface PolicyReaderOptions {
  /** The built-in plugins. */
  readonly plugins: PolicyPlugins;
  /** Gets packages once the signatures are verified. Default: policies with extensions are refused. */
  readonly packages?: FindPackages | undefined;
  /** The service that the policy is for; undefined = the documents are only checked, for all services. */
  readonly service: string | undefined;
  /** Hosts besides loopback that routes may name; undefined = any. */
  readonly upstreamAllow: readonly HostPattern[] | undefined;
  /** The service's own upstream, to check its layer's routes. Default: layers' upstreams are not checked. */
  readonly ownUpstream?: UpstreamAddress | undefined;
  readonly keys: PublicKeySet | undefined;
  readonly maxBytes?: number | undefined;
}

/** Rejects with PolicyRefused, which holds all problems, or with the signal's reason once it aborts. */
export type PolicyReader = (raw: RawPolicy, signal?: AbortSignal) => Promise<EffectivePolicy>;

/** @returns the reader. Rejects when a key cannot be used. */
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

/**
 * @returns a function that opens and parses both documents. It rejects with PolicyRefused, which holds the problems of
 * both.
 */
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
    // A layer that stood before does not block a shared policy that no longer has the layer's extensions.
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

/** @returns a function that computes who may sign, given the later key documents. Rejects when a key cannot be used. */
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
