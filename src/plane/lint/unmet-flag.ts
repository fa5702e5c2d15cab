// Lint rule for flags that need a caller's identity on routes where no plugin learns it.
import { isObject } from "../../policy/document/plain-object.ts";
import { quoted } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";

export const unmetFlag: DocumentRule = {
  code: "unmet-flag",
  about: "`flag.when` on a route where no plugin learns who calls: it runs for nobody",
  *check({ routes }) {
    for (const route of routes) {
      if (route.provides("identity")) continue;
      for (const name of route.plugins) {
        const flag = route.flagOf(name);
        if (!isObject(flag) || flag["when"] === undefined) continue;
        yield {
          place: route.placeOf(name, ["flag", "when"]),
          route,
          message: `${quoted(name)} runs for nobody here, since no plugin of this route learns who calls`,
          advice: "run auth or ext-auth there too, or leave when out",
        };
      }
    }
  },
};
