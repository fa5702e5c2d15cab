// Lint of a valid policy: what it says and probably does not mean. For `policy lint`, and as warnings of `validate` and
// `apply`; of a service's layer over the shared policy, what is written in the layer.
import {
  createPolicyParser,
  defaultMaxBytes,
  type ParsedPolicy,
  placed,
  type PolicyFormat,
} from "../../policy/document/parse.ts";
import { maxProblems, pathText } from "../../policy/document/problems.ts";
import { type RawPolicy, layerKey, sharedKey } from "../../policy/read.ts";
import { openPolicy } from "../../policy/signature/signature.ts";
import { scopeExtensions } from "../../policy/extensions/scope.ts";
import type { SourceDocument } from "../../policy/document/written.ts";
import { allowanceCodes, withoutAllowed } from "./allow.ts";
import { extensionRules } from "./extensions.ts";
import { failsOpen } from "./fails-open.ts";
import type { DocumentRule, Finding, Raised } from "./finding.ts";
import { openRoutes } from "./open-routes.ts";
import { checkPlugins } from "./plugin-rules.ts";
import { shadowedRoute } from "./shadowed-route.ts";
import { strippedPastGuard } from "./stripped-past-guard.ts";
import { unmetFlag } from "./unmet-flag.ts";
import { unusedLock, unusedOptions } from "./unheeded.ts";
import { createView, type LintPlugins, type LoadedPlugins, loadRules, type ViewOptions } from "./view.ts";

const documentRules: readonly DocumentRule[] = [
  ...openRoutes,
  strippedPastGuard,
  shadowedRoute,
  failsOpen,
  unmetFlag,
  unusedOptions,
  unusedLock,
  ...extensionRules,
];

export interface Lint {
  /** In the document's order. */
  readonly findings: readonly Finding[];
  /** How many more there are. */
  readonly left: number;
}

export interface LintOptions extends Omit<ViewOptions, "plugins"> {
  /** Those that are built in. */
  readonly plugins: LintPlugins;
  /** Those that the policy brings. */
  readonly extensions?: LintPlugins | undefined;
  readonly maxBytes?: number | undefined;
}

/**
 * @param raw documents that were found valid; throws PolicyRefused for others
 * @returns what is found in the document on top
 */
export async function lintPolicy(raw: RawPolicy, options: LintOptions): Promise<Lint> {
  const { service, maxBytes = defaultMaxBytes } = options;
  const plugins = await loadRules({ ...options.plugins, ...options.extensions });
  const parse = createPolicyParser({ plugins: options.plugins, maxBytes });
  const read = async (
    bytes: Uint8Array,
    name: string,
    parseAs: (own: Uint8Array, format: PolicyFormat) => ParsedPolicy,
  ): Promise<SourceDocument> => {
    const opened = await openPolicy(bytes, name, undefined, maxBytes);
    return { ...parseAs(opened.bytes, opened.signed === "no" ? raw.format : "json"), name };
  };
  const written = await read(raw.shared, sharedKey, parse);
  const shared = { ...written, document: scopeExtensions(written.document, service) };
  const parseLayer = (own: Uint8Array, format: PolicyFormat): ParsedPolicy =>
    parse.layer(own, format, undefined);
  const layer =
    raw.layer === undefined ? undefined : await read(raw.layer, layerKey(service ?? ""), parseLayer);
  const view = createView({ shared, layer }, { ...options, plugins });
  const raised: Raised[] = [...checkPlugins(view)];
  for (const rule of documentRules) {
    for (const each of rule.check(view)) raised.push({ code: rule.code, ...each });
  }
  const top = layer ?? shared;
  const own = raised.filter(({ place }) => place.document === top);
  return merged(withoutAllowed(own, top, new Set(codesOf(plugins).keys())));
}

/** Every code, with one line about each. */
export async function lintCodes(plugins: LintPlugins): Promise<ReadonlyMap<string, string>> {
  return codesOf(await loadRules(plugins));
}

function codesOf(plugins: LoadedPlugins): ReadonlyMap<string, string> {
  const codes = new Map(documentRules.map(({ code, about }) => [code, about]));
  for (const [name, { lint }] of Object.entries(plugins)) {
    for (const [part, { about }] of Object.entries(lint?.rules ?? {})) codes.set(`${name}/${part}`, about);
  }
  for (const [code, about] of Object.entries(allowanceCodes)) codes.set(code, about);
  return codes;
}

/** One finding a code and place, with all the routes it was found on. */
function merged(raised: readonly Raised[]): Lint {
  const groups = Map.groupBy(
    raised,
    ({ code, place, message }) => `${code} ${pathText(place.path)} ${message}`,
  );
  const findings = [...groups.values()].slice(0, maxProblems).map(findingOf);
  return { findings: findings.toSorted(byPlace), left: groups.size - findings.length };
}

function findingOf(group: readonly Raised[]): Finding {
  const [{ code, place, message, advice }] = group as [Raised];
  const { path, line, column } = placed({ path: place.path, message }, place.document);
  const routes = [...new Set(group.flatMap(({ route }) => route?.path ?? []))];
  return {
    code,
    path,
    message,
    advice,
    ...(routes.length > 0 && { routes }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
  };
}

const byPlace = (a: Finding, b: Finding): number =>
  (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
