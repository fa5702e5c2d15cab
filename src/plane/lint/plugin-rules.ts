// Runs the rules that plugins bring, on every route that runs the plugin. Each finding gets the place of its option.
import type { LintRule } from "../../plugin-api/lint.ts";
import type { Path } from "../../policy/document/problems.ts";
import type { Writer } from "../../policy/document/written.ts";
import type { Raised } from "./finding.ts";
import { placeBy, type PolicyView, type RouteView, wholeOf } from "./view.ts";

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
  const defaults = new Map<string, FoundInDefaults>();
  const everywhere = [...new Set(routes.map(({ options }) => options.get(plugin)))];
  for (const route of routes) {
    for (const { path: option, message, advice } of rule.check(
      route.options.get(plugin),
      route,
      everywhere,
    )) {
      const writer = route.writerOf(plugin, option);
      const isDefault = writer.prefix.length === 0;
      if (rule.everywhere !== true || !isDefault) {
        yield { code, place: placeBy(writer, plugin, option), message, advice, route };
        continue;
      }
      const key = keyOf(writer, option);
      const known = defaults.get(key);
      if (known === undefined) defaults.set(key, { writer, option, message, advice, count: 1 });
      else known.count += 1;
    }
  }
  const counts = new Map<string, number>();
  for (const { writer, option, message, advice, count } of defaults.values()) {
    const whole = wholeOf(option);
    const key = keyOf(writer, whole);
    const all =
      counts.get(key) ?? routes.filter((route) => isSame(route.writerOf(plugin, whole), writer)).length;
    counts.set(key, all);
    if (count === all) yield { code, place: placeBy(writer, plugin, option), message, advice };
  }
}

const keyOf = ({ document }: Writer, option: Path): string => `${document.name ?? ""} ${option.join("\n")}`;

/** A finding in defaults, and the number of routes with it among those that have these defaults. */
interface FoundInDefaults {
  readonly writer: Writer;
  readonly option: readonly (string | number)[];
  readonly message: string;
  readonly advice: string;
  count: number;
}

const isSame = (one: Writer, other: Writer): boolean =>
  one.document === other.document && one.prefix.length === other.prefix.length;
