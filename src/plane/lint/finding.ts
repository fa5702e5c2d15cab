// The types of lint: a finding as a rule raises it on a route, and as people see it.
import type { Place, PolicyView, RouteView } from "./view.ts";

export interface Raised {
  readonly code: string;
  readonly place: Place;
  /** What is wrong; begins in lower case and has no full stop. */
  readonly message: string;
  /** What to do about it, in the same form. */
  readonly advice: string;
  /** undefined = the finding is not about one route. */
  readonly route?: RouteView | undefined;
}

/** A rule about policies, independent of their plugins. */
export interface DocumentRule {
  readonly code: string;
  /** One line, for the table of codes. */
  readonly about: string;
  check(view: PolicyView): Iterable<Omit<Raised, "code">>;
}

export interface Finding {
  /** Never changes: policies name it in their allowances. */
  readonly code: string;
  /** `routes[2].pluginConfig.auth.exclude[0]`; "" = the document as a whole. */
  readonly path: string;
  readonly message: string;
  readonly advice: string;
  /** Paths of the routes with this finding; absent = it is not about single routes. */
  readonly routes?: readonly string[];
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}
