// What a valid policy says and nothing heeds: options of a plugin that runs nowhere, a lock on one. It may be meant (a layer
// may turn the plugin on), and most often it is a guard that somebody forgot to post. Pure.
import type { EffectiveDocument } from "./layers.ts";
import { type Problem, pathText, quoted } from "./problems.ts";

/** @param document in force for all services. @returns a warning for each such part of it */
export function unheeded(document: EffectiveDocument): Problem[] {
  const { plugins: defaults, pluginConfig, locked, routes } = document;
  const running = new Set(routes.flatMap(({ plugins }) => plugins ?? defaults));
  const warnings: Problem[] = [];
  for (const name of Object.keys(pluginConfig)) {
    if (running.has(name)) continue;
    const message = `no route runs ${quoted(name)}: these options are not in force until "plugins" names it`;
    warnings.push({ path: pathText(["pluginConfig", name]), message });
  }
  for (const [index, name] of locked.entries()) {
    if (running.has(name)) continue;
    const message = `no route runs ${quoted(name)}: only what a service's layer opens will`;
    warnings.push({ path: pathText(["locked", index]), message });
  }
  for (const [index, { plugins = defaults, pluginConfig: own = {} }] of routes.entries()) {
    for (const name of Object.keys(own)) {
      if (plugins.includes(name)) continue;
      const message = `the route does not run ${quoted(name)}: these options are not in force there`;
      warnings.push({ path: pathText(["routes", index, "pluginConfig", name]), message });
    }
  }
  return warnings;
}
