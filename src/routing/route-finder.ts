// Finds the route of a request, and detects paths that a service could read as another route's: a policy's decision
// about a path must hold for every spelling of it.
import { comparablePattern } from "../language/path-pattern.ts";
import { comparablePath, foldCase, hasReadings } from "../language/path-reading.ts";
import { Slices } from "../v8/slices.ts";
import { Router, type Match, type Routable } from "./router.ts";

export interface FindableRoute extends Routable {
  readonly caseInsensitive: boolean;
  /** Whether a path with an encoded slash is refused in any case. */
  readonly refusesEncodedSlash: boolean;
  /** Whether the route has a security plugin. */
  readonly guarded: boolean;
  /** Equal for routes whose plugins decide alike; "" = none of its plugins refuses anything. */
  readonly decides: string;
}

export type Found<T> = Match<T> | { readonly kind: "ambiguous"; readonly route: T; readonly why: string };

export class RouteFinder<T> {
  readonly #facts = new Map<T, FindableRoute>();
  readonly #spelled = new Router<T, FindableRoute>();
  readonly #exactCase: Forms<T>;
  /** Undefined unless a route is case-insensitive. */
  readonly #anyCase: AnyCase<T> | undefined;

  private constructor(foldsCase: boolean, hasOdd: boolean) {
    this.#exactCase = new Forms(false, hasOdd ? undefined : this.#spelled);
    if (foldsCase) this.#anyCase = { spelled: new Router(), own: new Forms(true), all: new Forms(true) };
  }

  /** Builds the finder over thousands of routes; it yields to the event loop in between. */
  static async over<T>(routes: ReadonlyMap<T, FindableRoute>): Promise<RouteFinder<T>> {
    const slices = new Slices();
    let foldsCase = false;
    let hasOdd = false;
    for (const { path, caseInsensitive } of routes.values()) {
      foldsCase ||= caseInsensitive;
      hasOdd ||= comparablePattern(path, false) !== path;
      if (slices.over) await slices.next();
    }
    const finder = new RouteFinder<T>(foldsCase, hasOdd);
    // If two routes have the same form, the later one is found: so the routes that decide come last.
    for (const deciding of [false, true]) {
      for (const [route, facts] of routes) {
        if ((facts.decides !== "") !== deciding) continue;
        finder.#add(route, facts);
        if (slices.over) await slices.next();
      }
    }
    return finder;
  }

  #add(route: T, facts: FindableRoute): void {
    this.#facts.set(route, facts);
    this.#spelled.add(route, facts);
    this.#exactCase.add(route, facts);
    this.#anyCase?.all.add(route, facts);
    if (!facts.caseInsensitive) return;
    this.#anyCase?.spelled.add(route, facts, foldCase(facts.path));
    this.#anyCase?.own.add(route, facts);
  }

  /** The routes' properties that it finds them by. */
  get facts(): Iterable<FindableRoute> {
    return this.#facts.values();
  }

  /** @param path normalised */
  match(path: string, method: string): Found<T> {
    const match = this.#matchSpelled(path, method);
    if (match.kind !== "found") return match;
    // The facts come with the match: a look-up by route would touch memory that nothing else needs.
    const facts = match.key;
    if (!facts.caseInsensitive && !hasReadings(path) && !this.#exactCase.isFormOfOdd(path, method))
      return match;
    const why = this.#flaw(match.route, facts, path, method);
    return why === undefined ? match : { kind: "ambiguous", route: match.route, why };
  }

  /**
   * Finds the route by the spelled path. A case-insensitive route also takes other spellings, unless another route is
   * more specific.
   */
  #matchSpelled(path: string, method: string): Match<T, FindableRoute> {
    const spelled = this.#spelled.match(path, method);
    if (this.#anyCase === undefined) return spelled;
    const folded = this.#anyCase.spelled.match(foldCase(path), method);
    return this.#specificity(folded) >= this.#specificity(spelled) ? folded : spelled;
  }

  #flaw(route: T, facts: FindableRoute, path: string, method: string): string | undefined {
    // Such a segment vanishes when parameters are stripped, and with it the division that it makes.
    if (facts.guarded && path.includes("/;")) return "holds a segment of parameters alone";
    const folds = facts.caseInsensitive && this.#anyCase !== undefined;
    const forms = folds ? this.#anyCase.all : this.#exactCase;
    if (path.includes("%2F")) {
      if (facts.refusesEncodedSlash) return "holds an encoded slash, which this route does not take";
      if (forms.dividesByDecoding(path, method))
        return "leads to another route once its encoded slash is decoded";
    }
    // The policy names exactly this spelling.
    if (facts.path === path) return undefined;
    const matches = forms.match(path, method);
    // Separately, so that a case-sensitive route cannot hide a case-insensitive one. Their services may differ.
    if (this.#anyCase !== undefined) matches.push(...this.#anyCase.own.match(path, method));
    return matches.some((match) => this.#isOther(route, facts, match))
      ? "could be read as another route's"
      : undefined;
  }

  /** Whether another route, at least as specific, takes the path and decides differently. */
  #isOther(route: T, { path, decides }: FindableRoute, match: Match<T>): boolean {
    if (this.#specificity(match) < segmentsOf(path)) return false;
    return routesOf(match).some((other) => {
      if (other === route) return false;
      const facts = this.#facts.get(other) as FindableRoute;
      if (facts.decides === "" || facts.decides === decides) return false;
      // Both patterns have the same form: the policy itself distinguishes these spellings.
      const folds = facts.caseInsensitive;
      return comparablePattern(facts.path, folds) !== comparablePattern(path, folds);
    });
  }

  /** Grows with the number of path segments that the match's pattern names; -1 = no match. */
  #specificity(match: Match<T>): number {
    const [route] = routesOf(match);
    return route === undefined ? -1 : segmentsOf((this.#facts.get(route) as FindableRoute).path);
  }
}

/** Routers that ignore case. */
interface AnyCase<T> {
  /** Case-insensitive routes by their spelling. */
  readonly spelled: Router<T, FindableRoute>;
  /** Case-insensitive routes by their form. */
  readonly own: Forms<T>;
  readonly all: Forms<T>;
}

/** Finds routes by the form that all readings of a path share. */
class Forms<T> {
  readonly #foldsCase: boolean;
  readonly #isSpelled: boolean;
  readonly #plain: Router<T>;
  // Separate, so that these do not hide what `/a/*` says of their form.
  #odd: Router<T> | undefined;
  /** Patterns like `/a/` or `/a;v=1` of routes that decide: their paths have other spellings. */
  #oddDeciding: Router<T> | undefined;

  /** @param spelled a router over the same routes as spelled, usable if each spelling is its own form */
  constructor(foldsCase: boolean, spelled?: Router<T>) {
    this.#foldsCase = foldsCase;
    this.#isSpelled = spelled !== undefined;
    this.#plain = spelled ?? new Router();
  }

  add(route: T, { path, methods, decides }: FindableRoute): void {
    if (this.#isSpelled) return;
    const form = comparablePattern(path, this.#foldsCase);
    if (form === (this.#foldsCase ? foldCase(path) : path)) {
      this.#plain.add(route, { path: form, methods });
      return;
    }
    this.#odd ??= new Router();
    this.#odd.add(route, { path: form, methods });
    if (decides === "") return;
    this.#oddDeciding ??= new Router();
    this.#oddDeciding.add(route, { path: form, methods });
  }

  match(path: string, method: string): Match<T>[] {
    const form = comparablePath(path, this.#foldsCase);
    const matches = [this.#plain.match(form, method)];
    if (this.#odd !== undefined) matches.push(this.#odd.match(form, method));
    return matches;
  }

  /** Whether a path without other readings has the form of a pattern that has some. */
  isFormOfOdd(path: string, method: string): boolean {
    return this.#oddDeciding !== undefined && this.#oddDeciding.match(path, method).kind !== "none";
  }

  /** Whether a path leads to another route once its encoded slashes are decoded. */
  dividesByDecoding(path: string, method: string): boolean {
    const divided = comparablePath(path, this.#foldsCase);
    const kept = comparablePath(path, this.#foldsCase, "kept");
    return [this.#plain, this.#odd].some(
      (router) => router?.match(divided, method) !== router?.match(kept, method),
    );
  }
}

function routesOf<T>(match: Match<T>): readonly T[] {
  if (match.kind === "found") return [match.route];
  return match.kind === "wrong-method" ? match.routes : [];
}

/** An exact pattern is more specific than every prefix. */
function segmentsOf(pattern: string): number {
  return pattern.endsWith("/*") ? pattern.split("/").length - 2 : Infinity;
}
