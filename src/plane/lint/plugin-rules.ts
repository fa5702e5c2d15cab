// The rules that plugins bring: each asked on every route that runs its plugin, each finding put where its option was
// written.
import type { LintRule } from "../../plugin-api/lint.ts";
import { pathText } from "../../policy/document/problems.ts";
import type { Raised } from "./finding.ts";
import type { Place, PolicyView, RouteView } from "./view.ts";

export function* checkPlugins(view: PolicyView): Generator<Raised> {
  for (const [name, { lint }] of Object.entries(view.plugins)) {
    const routes = view.routes.filter(({ options }) => options.get(name) !== undefined);
    for (const [part, rule] of Object.entries(lint?.rules ?? {})) {
      yield* checkRule(`${name}/${part}`, name, rule, routes);
    }
  }
}

function* checkRule(
  code: string,
  plugin: string,
  rule: LintRule<unknown>,
  routes: readonly RouteView[],
): Generator<Raised> {
  const found: (Raised & { route: RouteView; key: string; option: readonly (string | number)[] })[] = [];
  for (const route of routes) {
    for (const { path, message, advice } of rule.check(route.options.get(plugin), route)) {
      const place = route.placeOf(plugin, path);
      found.push({ code, place, message, advice, route, key: keyOf(place), option: path });
    }
  }
  if (rule.everywhere !== true) {
    yield* found;
    return;
  }
  for (const group of Map.groupBy(found, ({ key }) => key).values()) {
    const [first] = group as [(typeof found)[number]];
    const { key, option, place, message, advice } = first;
    const on = new Set(group.map(({ route }) => route));
    const isOfRoute = place.path[0] === "routes";
    const elsewhere =
      !isOfRoute && routes.some((route) => !on.has(route) && hasFrom(route, plugin, option, key));
    if (!elsewhere) yield { code, place, message, advice, route: isOfRoute ? first.route : undefined };
  }
}

/** Whether the route has that option, and from there. */
function hasFrom(
  route: RouteView,
  plugin: string,
  option: readonly (string | number)[],
  key: string,
): boolean {
  let value: unknown = route.options.get(plugin);
  for (const part of option) {
    // Of a list that takes another's place the members need not be there.
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return false;
    value = (value as Readonly<Record<string | number, unknown>>)[part];
  }
  return keyOf(route.placeOf(plugin, option)) === key;
}

const keyOf = ({ document, path }: Place): string => `${document.name ?? ""} ${pathText(path)}`;
