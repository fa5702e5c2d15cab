// Lint rules for routes without authentication, and for routes without a limit.
import type { Provision } from "../../plugin-api/lint.ts";
import { pathText } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";
import type { PolicyView, RouteView } from "./view.ts";

interface Missing {
  readonly what: Provision;
  readonly code: string;
  readonly about: string;
  readonly message: string;
  /** The message if no route has it. */
  readonly nowhere: string;
}

const rules: readonly Missing[] = [
  {
    what: "authentication",
    code: "unauthenticated-route",
    about: "A route that answers whoever asks",
    message: "answers callers that show no credential",
    nowhere: "no route asks who calls: whoever reaches the sidecar reaches the service",
  },
  {
    what: "limit",
    code: "unlimited-route",
    about: "A route on which some request counts against no limit",
    message: "has no limit that every request counts against",
    nowhere: "no route has a limit that every request counts against",
  },
];

export const openRoutes: readonly DocumentRule[] = rules.map((missing) => ({
  code: missing.code,
  about: missing.about,
  check: (view) => check(view, missing),
}));

function* check(view: PolicyView, { what, message, nowhere }: Missing): ReturnType<DocumentRule["check"]> {
  const { routes, sources, plugins } = view;
  const able = Object.keys(plugins).filter((name) => plugins[name]?.lint?.provides?.[what] !== undefined);
  const names = able.length === 0 ? "a plugin that does" : able.join(" or ");
  const lacking = routes.filter((route) => !route.provides(what) && !route.provides("answer"));
  const isNear = (route: RouteView): boolean => what === "authentication" && route.provides("addresses");
  const unable = lacking.every((route) => route.whyNot(what) === undefined && !isNear(route));
  if (lacking.length === routes.length && unable && sources.layer === undefined && routes.length > 0) {
    const { shared } = sources;
    const place = { document: shared, path: shared.document.plugins === undefined ? [] : ["plugins"] };
    yield { place, message: nowhere, advice: `run ${names}, or allow it and say why` };
    return;
  }
  for (const route of lacking) {
    const why = route.whyNot(what);
    const whom = isNear(route) ? `${message}, from the networks that are let in alone` : message;
    const text = why === undefined ? whom : `${whom}: ${why}`;
    const around = nearestWith(view, route, what);
    yield {
      place: route.pluginsPlace,
      route,
      message: around === undefined ? text : `${text}; ${around} around it is stricter`,
      advice: `${why === undefined ? `run ${names}` : "change that"} if it is not meant, else allow it and say why`,
    };
  }
}

/** @returns a route around this one that has what it lacks */
function nearestWith(
  { reach, viewOf }: PolicyView,
  { route }: RouteView,
  what: Provision,
): string | undefined {
  const found = reach
    .around(route)
    .map(viewOf)
    .find((other) => other.provides(what));
  return found && `${pathText(found.place.path)} (${found.path})`;
}
