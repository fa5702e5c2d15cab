// Lint rule for plugins that fail closed by default and that the policy lets fail open.
import { quoted } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";

export const failsOpen: DocumentRule = {
  code: "fails-open",
  about: "`failMode: open` on a plugin that guards: when it fails, requests go on without it",
  *check({ routes, plugins }) {
    for (const route of routes) {
      for (const name of route.plugins) {
        if (plugins[name]?.failMode !== "closed" || route.failModeOf(name) !== "open") continue;
        yield {
          place: route.placeOf(name, ["failMode"]),
          route,
          message: `requests go on without ${quoted(name)} when it fails or takes too long`,
          advice: "leave failMode out, which is closed, or allow it and say why",
        };
      }
    }
  },
};
