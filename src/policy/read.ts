// Raw documents -> effective policy: open the signature, parse strictly, layer, complete, name by digest. The sidecar,
// `policy validate` and `policy show --effective` all go through here.
import type { HostPattern, PublicKeySet } from "../config-formats.ts";
import { isUpstreamAllowed } from "../config-formats.ts";
import { canonicalJson, digestOf } from "./digest.ts";
import { type EffectiveDocument, applyLayer, isFor } from "./layers.ts";
import {
  type ParsedPolicy,
  type PolicyFormat,
  createPolicyParser,
  defaultMaxBytes,
  placed,
} from "./parse.ts";
import { type Problem, PolicyRefused, problemText } from "./problems.ts";
import { type EffectiveRoute, type SourceDocument, completeRoutes } from "./routes.ts";
import type { PolicyPlugins } from "./schema.ts";
import { type Signed, createPolicyOpener } from "./signature.ts";

/** The documents as their source has them, signatures included. */
export interface RawPolicy {
  readonly shared: Uint8Array;
  readonly layer: Uint8Array | undefined;
  readonly format: PolicyFormat;
}

export interface EffectivePolicy {
  readonly document: EffectiveDocument;
  /** SHA-256, hex, of the canonical effective document: what two sidecars of a service compare. */
  readonly digest: string;
  readonly routes: readonly EffectiveRoute[];
  /** Plugins and options for requests that no route takes. */
  readonly unmatched: EffectiveRoute;
  /** The weakest of the documents. */
  readonly signed: Signed;
}

export interface PolicyReaderOptions {
  readonly plugins: PolicyPlugins;
  /** Whose policy; undefined = the documents are only checked, for all services. */
  readonly service: string | undefined;
  /** Hosts besides loopback that routes may name; undefined = any. */
  readonly upstreamAllow: readonly HostPattern[] | undefined;
  readonly keys: PublicKeySet | undefined;
  readonly maxBytes?: number | undefined;
}

/** Rejects with PolicyRefused, all problems in it. */
export type PolicyReader = (raw: RawPolicy) => Promise<EffectivePolicy>;

/** Rejects when a key cannot be used. */
export async function createPolicyReader(options: PolicyReaderOptions): Promise<PolicyReader> {
  const { plugins, service, upstreamAllow, keys, maxBytes = defaultMaxBytes } = options;
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
  return async function readPolicy({ shared, layer, format }) {
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
    return combine(lower, upper, plugins, service);
  };
}

export const sharedKey = "policy";
export const layerKey = (service: string): string => `${sharedKey}:${service}`;

type Opened = ParsedPolicy & SourceDocument & { readonly signed: Signed };

async function combine(
  shared: Opened,
  layer: Opened | undefined,
  plugins: PolicyPlugins,
  service: string | undefined,
): Promise<EffectivePolicy> {
  const layered = applyLayer(shared.document, layer?.document, service);
  const { routes, unmatched, problems } = await completeRoutes(layered, { shared, layer }, plugins);
  const broken = layered.broken.map((flaw) => placed(flaw, layer ?? shared, layer?.name));
  // A document is refused whole: other services' routes count too, so that all sidecars take it or none does.
  const foreign = shared.document.routes?.some((route) => !isFor(route, service)) ?? false;
  const rest = foreign
    ? await completeRoutes(
        applyLayer(shared.document, undefined, undefined),
        { shared, layer: undefined },
        plugins,
      )
    : { problems: [] };
  const all = new Map([...broken, ...problems, ...rest.problems].map((each) => [problemText(each), each]));
  if (all.size > 0) throw new PolicyRefused([...all.values()]);
  const levels = [shared.signed, ...(layer === undefined ? [] : [layer.signed])];
  return {
    document: layered.effective,
    digest: digestOf(canonicalJson(layered.effective)),
    routes,
    unmatched,
    signed: (["no", "unverified", "verified"] as const).find((level) => levels.includes(level)) ?? "no",
  };
}
