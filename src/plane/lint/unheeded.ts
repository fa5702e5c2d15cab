// Lint rules for parts of a valid policy that have no effect: options of a plugin that runs nowhere, or a lock on one.
// They may be intended, since a layer may turn the plugin on. Most often a plugin that guards was forgotten in a list.
import { quoted } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";
import type { PolicyView } from "./view.ts";

const running = ({ routes }: PolicyView): ReadonlySet<string> =>
  new Set(routes.flatMap(({ plugins }) => plugins));

export const unusedOptions: DocumentRule = {
  code: "unused-options",
  about: "Options of a plugin that does not run there",
  *check(view) {
    const names = running(view);
    const { shared, layer } = view.sources;
    for (const document of [shared, ...(layer === undefined ? [] : [layer])]) {
      for (const name of Object.keys(document.document.pluginConfig ?? {})) {
        if (names.has(name)) continue;
        yield {
          place: { document, path: ["pluginConfig", name] },
          message: `no route runs ${quoted(name)}: these options are not in force until "plugins" names it`,
          advice: `add ${quoted(name)} to plugins, or take the options out`,
        };
      }
    }
    for (const route of view.routes) {
      for (const name of Object.keys(route.route.pluginConfig ?? {})) {
        if (route.plugins.includes(name)) continue;
        yield {
          place: { ...route.place, path: [...route.place.path, "pluginConfig", name] },
          route,
          message: `the route does not run ${quoted(name)}: these options are not in force there`,
          advice: `add ${quoted(name)} to its plugins, or take the options out`,
        };
      }
    }
  },
};

export const unusedLock: DocumentRule = {
  code: "unused-lock",
  about: "A lock on a plugin that no route runs",
  *check(view) {
    const names = running(view);
    const { shared } = view.sources;
    for (const [index, name] of view.effective.locked.entries()) {
      if (names.has(name)) continue;
      yield {
        place: { document: shared, path: ["locked", index] },
        message: `no route runs ${quoted(name)}: only what a service's layer opens will`,
        advice: `add ${quoted(name)} to plugins, or take it out of locked`,
      };
    }
  },
};
