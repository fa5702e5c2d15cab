// What lint has to say: a finding as a rule raises it on a route, and as people get it.
import type { Place, PolicyView, RouteView } from "./view.ts";

export interface Raised {
  readonly code: string;
  readonly place: Place;
  /** What is the matter; begins in lower case, without a full stop. */
  readonly message: string;
  /** What to do about it, likewise. */
  readonly advice: string;
  /** undefined = of no route in particular. */
  readonly route?: RouteView | undefined;
}

/** A rule about policies whatever their plugins. */
export interface DocumentRule {
  readonly code: string;
  /** One line, for the table of codes. */
  readonly about: string;
  check(view: PolicyView): Iterable<Omit<Raised, "code">>;
}

export interface Finding {
  /** For ever the same: it is what a policy allows. */
  readonly code: string;
  /** `routes[2].pluginConfig.auth.exclude[0]`; "" = the document as a whole. */
  readonly path: string;
  readonly message: string;
  readonly advice: string;
  /** Paths of the routes it was found on; absent = none in particular. */
  readonly routes?: readonly string[];
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}
