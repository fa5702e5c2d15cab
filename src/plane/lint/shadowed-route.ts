// Lint rule for routes that lose requests to others. The most specific path wins, with its methods: a method that it
// does not list is answered with 405, and never goes on to a wider route that would answer it.
import { compileMethods, knownMethods } from "../../language/methods.ts";
import { pathText } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";
import type { PolicyView, RouteView } from "./view.ts";

export const shadowedRoute: DocumentRule = {
  code: "shadowed-route",
  about:
    "A route that gets none of its requests, or loses methods to one of a narrower path, which answers 405",
  *check(view) {
    const told = new Set<string>();
    for (const each of view.routes) {
      const { place } = each;
      if (!view.reach.answers(each.route)) {
        const message = "gets no request: the other routes of this path list every method";
        yield { place, route: each, message, advice: "take it out, or a method from the others" };
      }
      for (const wide of view.reach.around(each.route)) {
        const other = view.viewOf(wide);
        const lost = lostMethods(view, each, other);
        const key = `${each.path} ${lost.join()}`;
        if (lost.length === 0 || told.has(key)) continue;
        told.add(key);
        yield {
          place: {
            ...place,
            path: each.route.methods === undefined ? place.path : [...place.path, "methods"],
          },
          route: each,
          message: `${lost.join(", ")} of these paths is 405, though ${pathText(other.place.path)} (${wide.path}) around it answers it`,
          advice: "list these methods here, in another route of this path, or allow it and say why",
        };
      }
    }
  },
};

/**
 * @returns the methods that the wide route lists and the narrow path does not. A wide route without methods is a
 * catch-all, which narrower routes are meant to narrow. It counts as losing only if the narrow path has not even GET.
 */
function lostMethods({ reach }: PolicyView, narrow: RouteView, wide: RouteView): string[] {
  const here = reach.methodsAt(narrow.route);
  if (here === undefined) return [];
  const there = wide.route.methods;
  if (there === undefined) return here.has("GET") || !reach.answers(wide.route, ["GET"]) ? [] : ["GET"];
  const lost = new Set(compileMethods(there)).difference(here);
  return knownMethods.filter((method) => lost.has(method));
}
