// Lints a valid policy: finds what it says but probably does not mean. Used by `policy lint`, and for the warnings of
// `validate` and `apply`. With a service's layer, only findings in the layer are reported.
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
  /** Number of findings that are left out. */
  readonly left: number;
}

export interface LintOptions extends Omit<ViewOptions, "plugins"> {
  /** The built-in plugins. */
  readonly plugins: LintPlugins;
  /** The plugins that the policy brings. */
  readonly extensions?: LintPlugins | undefined;
  readonly maxBytes?: number | undefined;
}

/**
 * @param raw documents that were found valid; throws PolicyRefused for others
 * @returns the findings in the top document
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

/** @returns every code with one line about it */
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

/** Merges findings of one code and place into one, with all its routes. */
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
