// Shares parsed options between routes: most routes have their options from the policy's top.
import { hash } from "node:crypto";
import { frozen } from "../language/frozen.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";

const parsed = new WeakMap<PluginDefinition, WeakMap<object, unknown>>();
/** Stands for a policy without options for the plugin. */
const nowhere = {};

/**
 * @param written the plugin's options in the policy
 * @param own the same options without `failMode` and `flag`
 * @returns the options for a set-up: one frozen object for all routes with the same `written` object
 */
export function parseOptions(definition: PluginDefinition, written: unknown, own: object): unknown {
  const place = written === undefined ? nowhere : written;
  if (typeof place !== "object" || place === null) return definition.options.parse(own);
  let known = parsed.get(definition);
  if (known === undefined) parsed.set(definition, (known = new WeakMap()));
  let options = known.get(place);
  // A plugin that changed its options would change those of other routes.
  if (options === undefined) known.set(place, (options = frozen(definition.options.parse(own))));
  return options;
}

const optionTexts = new WeakMap<object, string>();

/** @returns a text that stands for what decides who gets in: routes with the same text decide alike */
export function decisions(
  ordered: readonly PluginDefinition[],
  pluginConfig: Readonly<Record<string, unknown>>,
): string {
  const deciding = ordered.filter(({ security, refuses }) => security || refuses === true);
  return deciding
    .map(({ name }) => {
      const options = pluginConfig[name];
      if (typeof options !== "object" || options === null) return name;
      let text = optionTexts.get(options);
      if (text === undefined) optionTexts.set(options, (text = hash("sha256", JSON.stringify(options))));
      return `${name} ${text}`;
    })
    .join("\n");
}
