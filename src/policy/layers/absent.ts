// Handles plugins that a layer names and the shared policy does not have, or no longer has: extensions come and go. A
// new layer that names one is refused. A layer that stood before stays in force without the plugin, and its routes that
// would run it refuse every request, since the plugin's decisions cannot be known any more.
import { withoutPlugins } from "../extensions/scope.ts";
import { placed } from "../document/parse.ts";
import { type Path, type Problem, quoted } from "../document/problems.ts";
import type { PolicyPlugins, PolicyRoute } from "../document/schema.ts";
import type { SourceDocument } from "../document/written.ts";
import type { Judged } from "./judge.ts";

/** @returns a problem for each plugin that a part of the layer names and that does not exist, by plugin */
export function absentPlugins(layer: SourceDocument, plugins: PolicyPlugins): Map<string, Problem> {
  const { document, name: file } = layer;
  const problems = new Map<string, Problem>();
  const note = (part: Pick<PolicyRoute, "plugins" | "pluginConfig">, at: Path): void => {
    const lists: readonly (readonly [string, Path])[] = [
      ...(part.plugins ?? []).map((name, index) => [name, [...at, "plugins", index]] as const),
      ...Object.keys(part.pluginConfig ?? {}).map((name) => [name, [...at, "pluginConfig", name]] as const),
    ];
    for (const [name, path] of lists) {
      if (Object.hasOwn(plugins, name) || problems.has(name)) continue;
      const message = `the shared policy has no plugin ${quoted(name)}: routes that would run it take nobody`;
      problems.set(name, placed({ path, message }, layer, file));
    }
  };
  note(document, []);
  document.routes?.forEach((route, index) => note(route, ["routes", index]));
  return problems;
}

/** @returns the policy without the absent plugins; its routes that would run one are closed */
export function withoutAbsent<Kind extends Judged>(judged: Kind, absent: Map<string, Problem>): Kind {
  if (absent.size === 0) return judged;
  const names = new Set(absent.keys());
  const isClosed = judged.routes.map(({ plugins }) => plugins.some((name) => names.has(name)));
  const close = <Route extends Parameters<typeof withoutPlugins>[0]>(route: Route, index: number): Route => {
    const kept = withoutPlugins(route, names);
    return isClosed[index] === true ? { ...kept, closed: true } : kept;
  };
  return {
    ...judged,
    document: {
      ...withoutPlugins(judged.document, names),
      routes: judged.document.routes.map(close),
    },
    routes: judged.routes.map(close),
    unmatched: withoutPlugins(judged.unmatched, names),
    overruled: [...absent.values(), ...judged.overruled],
  };
}
