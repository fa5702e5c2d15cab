// Lint rule for ways around a guard: a route without authentication whose `stripPrefix` leads to paths that another
// route guards.
import { patternsMeet } from "../../language/path-pattern.ts";
import { pathText } from "../../policy/document/problems.ts";
import type { PolicyRoute } from "../../policy/document/schema.ts";
import type { DocumentRule } from "./finding.ts";
import { shareService } from "./reach.ts";

export const strippedPastGuard: DocumentRule = {
  code: "stripped-past-guard",
  about: "A route without authentication whose stripPrefix leads to paths that another route guards",
  *check({ routes, reach }) {
    const guarded = routes
      .filter((each) => each.provides("authentication"))
      .map((each) => ({ each, wire: reach.wire(each.route), to: upstreamOf(each.route) }));
    for (const open of routes) {
      if (open.stripPrefix === undefined) continue;
      if (open.provides("authentication") || open.provides("answer")) continue;
      const wire = reach.wire(open.route);
      const to = upstreamOf(open.route);
      const behind = guarded.find(
        (other) =>
          other.to === to && patternsMeet(other.wire, wire) && shareService(other.each.route, open.route),
      );
      if (behind === undefined) continue;
      const { place, path } = behind.each;
      yield {
        place: { ...open.place, path: [...open.place.path, "stripPrefix"] },
        route: open,
        message: `leads without authentication to ${wire} of the service, where ${pathText(place.path)} (${path}) asks for it`,
        advice: "authenticate here, too, or take off less of the path",
      };
    }
  },
};

/** @returns the upstream's scheme and authority; "" = the sidecar's own upstream */
function upstreamOf({ upstream = "" }: PolicyRoute): string {
  return /^https?:\/\/[^/]*/.exec(upstream)?.[0] ?? upstream;
}
