// Judges a shared policy and a service's layer over it. The shared policy is judged alone: no layer can block it. A new
// layer that does not fit is refused. Parts of a standing layer that do not fit are overruled and reported.
import { type EffectiveDocument, type Layered, applyLayer, isFor } from "./layers.ts";
import { type CarriedTest, carriedTests } from "./carried-tests.ts";
import { type ConfineOptions, confineLayer, identityFields, ownedCookies } from "./confine-layer.ts";
import { placed } from "../document/parse.ts";
import { type Problem, PolicyRefused, maxProblems, problemText } from "../document/problems.ts";
import { type Completed, type EffectiveRoute, completeRoutes } from "../document/routes.ts";
import type { PluginConfig, PolicyCookie, PolicyDocument, PolicyRoute } from "../document/schema.ts";
import { secretNames } from "../document/secret-names.ts";
import type { SourceDocument } from "../document/written.ts";

export interface Judged {
  readonly document: EffectiveDocument;
  readonly routes: readonly EffectiveRoute[];
  /** Plugins and options for requests that no route takes. */
  readonly unmatched: EffectiveRoute;
  /** Parts of the layer that are not in force because they do not fit the shared policy. */
  readonly overruled: readonly Problem[];
  /**
   * Fields by which the shared policy tells services who the caller is: no client may send them, whatever the layer
   * says.
   */
  readonly identityFields: ReadonlySet<string>;
  /** Cookies of the shared policy's plugins, also on other services' routes: no service gets them. */
  readonly ownedCookies: readonly PolicyCookie[];
  /** Fields and query parameters that carry credentials under either document: they are never logged. */
  readonly secretNames: ReadonlySet<string>;
  /** The tests that the policy has to pass before it is in force. */
  readonly tests: readonly CarriedTest[];
}

type Named = Pick<Judged, "identityFields" | "ownedCookies" | "secretNames" | "tests">;

export interface JudgeOptions extends ConfineOptions {
  /** The service that the policy is for; undefined = all services' routes. */
  readonly service: string | undefined;
  /** Size limit of a document. */
  readonly maxBytes?: number | undefined;
}

/**
 * Judges the documents. Rejects with PolicyRefused, which holds all problems.
 * @param standing whether the layer was in force before, or what was in force is unknown
 */
export async function judge(
  shared: SourceDocument,
  given: SourceDocument | undefined,
  standing: boolean,
  options: JudgeOptions,
): Promise<Judged> {
  const { plugins, service, maxBytes } = options;
  const ownBase = options.ownUpstream?.basePath;
  const confined = given && confineLayer(given.document, shared.document, options);
  const layer = given && confined && { ...given, document: confined.document };
  const beyond =
    given === undefined ? [] : (confined?.broken ?? []).map((flaw) => placed(flaw, given, given.name));
  const named: Named = {
    identityFields: identityFields(shared.document, plugins),
    ownedCookies: ownedCookies(shared.document, plugins),
    secretNames: secretNames([shared.document, given?.document], plugins),
    tests: carriedTests(shared, given, service),
  };
  // A document is refused as a whole. Other services' routes are judged too, so that all sidecars accept it or none
  // does.
  const foreign = shared.document.routes?.some((route) => !isFor(route, service)) ?? false;
  const judgedAlone = foreign || (standing && layer !== undefined);
  const alone = judgedAlone
    ? (
        await completeRoutes(
          applyLayer(shared.document, undefined, undefined),
          { shared, layer: undefined },
          plugins,
          maxBytes,
        )
      ).problems
    : [];
  if (standing && layer !== undefined) {
    refuseAny(alone);
    const fitted = await fitLayer(shared, layer, options);
    return { ...fitted, ...named, overruled: [...beyond, ...fitted.overruled] };
  }
  const layered = applyLayer(shared.document, layer?.document, service, ownBase);
  const { routes, unmatched, problems } = await completeRoutes(layered, { shared, layer }, plugins, maxBytes);
  refuseAny([...beyond, ...brokenLocks(layered, layer ?? shared), ...problems, ...alone]);
  return { document: layered.effective, routes, unmatched, overruled: [], ...named };
}

function refuseAny(problems: readonly Problem[]): void {
  const all = new Map(problems.map((each) => [problemText(each), each]));
  if (all.size > 0) throw new PolicyRefused([...all.values()]);
}

function brokenLocks({ broken }: Layered, layer: SourceDocument): Problem[] {
  return broken.map((flaw) => placed(flaw, layer, layer.name));
}

/** Removes the parts of the layer that do not fit, round by round, until the rest fits. */
async function fitLayer(
  shared: SourceDocument,
  layer: SourceDocument,
  { plugins, service, ownUpstream, maxBytes }: JudgeOptions,
): Promise<Omit<Judged, keyof Named>> {
  const overruled = brokenLocks(
    applyLayer(shared.document, layer.document, service, ownUpstream?.basePath),
    layer,
  );
  const closed: Spoiled[] = [];
  for (let { document } = layer; ;) {
    const layered = applyLayer(shared.document, document, service, ownUpstream?.basePath);
    const sources = { shared, layer: { ...layer, document } };
    const completed = await completeRoutes(layered, sources, plugins, maxBytes);
    if (completed.problems.length === 0) {
      return { ...closeRoutes(layered, completed, closed), overruled };
    }
    const lawful = withoutSpoiled(document, completed.spoiled);
    if (lawful === undefined) throw new PolicyRefused(completed.problems);
    overruled.push(...completed.problems.slice(0, maxProblems));
    closed.push(...completed.spoiled.filter(({ plugin }) => plugins[plugin]?.security));
    document = lawful;
  }
}

type Spoiled = Completed["spoiled"][number];

/** @returns the layer without the spoiled options; undefined when it has none of them */
function withoutSpoiled(layer: PolicyDocument, spoiled: readonly Spoiled[]): PolicyDocument | undefined {
  let changed = false;
  const without = (config: PluginConfig | undefined, names: ReadonlySet<string>): PluginConfig => {
    const kept = Object.entries(config ?? {}).filter(([name]) => !names.has(name));
    changed ||= kept.length < Object.keys(config ?? {}).length;
    return Object.fromEntries(kept);
  };
  const byRoute = Map.groupBy(spoiled, ({ layerRoute }) => layerRoute);
  const routes = layer.routes?.map((route, index): PolicyRoute => {
    const names = new Set(byRoute.get(index)?.map(({ plugin }) => plugin));
    return names.size === 0 ? route : { ...route, pluginConfig: without(route.pluginConfig, names) };
  });
  if (changed) return { ...layer, routes };
  const names = new Set(spoiled.map(({ plugin }) => plugin));
  const pluginConfig = without(layer.pluginConfig, names);
  return changed ? { ...layer, pluginConfig } : undefined;
}

/** Without the layer's options, a plugin that decides who gets in could let in more: its routes are closed. */
function closeRoutes(
  { effective, origins }: Layered,
  { routes, unmatched }: Completed,
  closed: readonly Spoiled[],
): Omit<Judged, "overruled" | keyof Named> {
  const isClosed = routes.map(({ plugins }, index) =>
    closed.some(
      ({ plugin, layerRoute }) =>
        plugins.includes(plugin) &&
        (layerRoute === undefined ||
          (origins[index]?.from === "layer" && origins[index]?.index === layerRoute)),
    ),
  );
  const close = <Route>(route: Route, index: number): Route =>
    isClosed[index] === true ? { ...route, closed: true } : route;
  return {
    document: { ...effective, routes: effective.routes.map(close) },
    routes: routes.map(close),
    unmatched,
  };
}
