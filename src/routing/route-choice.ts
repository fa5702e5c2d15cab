// Explains why a request went to its route and no other, for `outrigger explain`. Computed on demand, over all routes.
import { foldCase } from "../language/path-reading.ts";
import { compileMethods } from "../language/methods.ts";
import type { FindableRoute } from "./route-finder.ts";

/** Another route that takes the path. */
export interface OtherRoute {
  readonly path: string;
  readonly methods: readonly string[] | null;
  readonly why: string;
}

export interface RouteChoice {
  readonly others: readonly OtherRoute[];
  /** How many more routes take the path. */
  readonly furtherOthers: number;
  /** How many routes do not take the path. */
  readonly elsewhere: number;
}

const maxOthers = 20;

/** @param chosen path of the route that took the request; null = none did @param path normalised */
export function routeChoice(
  routes: Iterable<FindableRoute>,
  chosen: string | null,
  { path, method }: { readonly path: string; readonly method: string },
): RouteChoice {
  const taking: FindableRoute[] = [];
  let elsewhere = 0;
  for (const route of routes) {
    if (takesPath(route, path)) taking.push(route);
    else elsewhere += 1;
  }
  taking.sort((a, b) => specificity(b) - specificity(a));
  // Only the path decides which route is most specific, whatever methods it takes.
  const first = taking[0]?.path;
  const others = taking.flatMap((route): OtherRoute[] => {
    const takes = takesMethod(route, method);
    if (route.path === chosen && takes) return [];
    const why = route.path === first ? `it takes ${route.methods?.join(", ")}` : `${first} is more specific`;
    return [{ path: route.path, methods: route.methods ?? null, why }];
  });
  return {
    others: others.slice(0, maxOthers),
    furtherOthers: Math.max(0, others.length - maxOthers),
    elsewhere,
  };
}

/** An exact pattern is more specific than every prefix. */
const specificity = ({ path }: FindableRoute): number => (path.endsWith("/*") ? path.length : Infinity);

function takesPath({ path: pattern, caseInsensitive }: FindableRoute, path: string): boolean {
  const [own, asked] = caseInsensitive ? [foldCase(pattern), foldCase(path)] : [pattern, path];
  if (!own.endsWith("/*")) return own === asked;
  const prefix = own.slice(0, -2);
  return asked === prefix || asked.startsWith(`${prefix}/`);
}

function takesMethod({ methods }: FindableRoute, method: string): boolean {
  return methods === undefined || compileMethods(methods).has(method);
}
