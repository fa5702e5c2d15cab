// The route of a request, and whether its path is one that a service could read as another route's: what the policy
// decides about a path must hold for every spelling of it.
import { comparablePattern } from "../language/path-pattern.ts";
import { comparablePath, foldCase, hasReadings } from "../language/path-reading.ts";
import { Slices } from "../v8/slices.ts";
import { Router, type Match, type Routable } from "./router.ts";

export interface FindableRoute extends Routable {
  readonly caseInsensitive: boolean;
  /** Whether a path with an encoded slash is refused, whatever it could be read as. */
  readonly refusesEncodedSlash: boolean;
  /** Whether a security plugin decides here. */
  readonly guarded: boolean;
  /** Equal for routes whose plugins decide alike; "" = none of them refuses anything. */
  readonly decides: string;
}

export type Found<T> = Match<T> | { readonly kind: "ambiguous"; readonly route: T; readonly why: string };

export class RouteFinder<T> {
  readonly #facts = new Map<T, FindableRoute>();
  readonly #spelled = new Router<T, FindableRoute>();
  readonly #exactCase: Forms<T>;
  /** Only where a route is case-insensitive. */
  readonly #anyCase: AnyCase<T> | undefined;

  private constructor(foldsCase: boolean, hasOdd: boolean) {
    this.#exactCase = new Forms(false, hasOdd ? undefined : this.#spelled);
    if (foldsCase) this.#anyCase = { spelled: new Router(), own: new Forms(true), all: new Forms(true) };
  }

  /** Other work goes on meanwhile: routes are thousands. */
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
    // Where two routes have one form the later of them is found: one that decides.
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

  /** What it finds routes by. */
  get facts(): Iterable<FindableRoute> {
    return this.#facts.values();
  }

  /** @param path normalised */
  match(path: string, method: string): Found<T> {
    const match = this.#matchSpelled(path, method);
    if (match.kind !== "found") return match;
    // Beside the route: of thousands of routes a look-up by route would fetch what nothing else needs.
    const facts = match.key;
    if (!facts.caseInsensitive && !hasReadings(path) && !this.#exactCase.isFormOfOdd(path, method))
      return match;
    const why = this.#flaw(match.route, facts, path, method);
    return why === undefined ? match : { kind: "ambiguous", route: match.route, why };
  }

  /** As spelled; a case-insensitive route takes other spellings too, unless one is routed more specifically. */
  #matchSpelled(path: string, method: string): Match<T, FindableRoute> {
    const spelled = this.#spelled.match(path, method);
    if (this.#anyCase === undefined) return spelled;
    const folded = this.#anyCase.spelled.match(foldCase(path), method);
    return this.#specificity(folded) >= this.#specificity(spelled) ? folded : spelled;
  }

  #flaw(route: T, facts: FindableRoute, path: string, method: string): string | undefined {
    // Gone once parameters are stripped, and with it the division that the segment makes.
    if (facts.guarded && path.includes("/;")) return "holds a segment of parameters alone";
    const folds = facts.caseInsensitive && this.#anyCase !== undefined;
    const forms = folds ? this.#anyCase.all : this.#exactCase;
    if (path.includes("%2F")) {
      if (facts.refusesEncodedSlash) return "holds an encoded slash, which this route does not take";
      if (forms.dividesByDecoding(path, method))
        return "leads to another route once its encoded slash is decoded";
    }
    // The policy names this very spelling.
    if (facts.path === path) return undefined;
    const matches = forms.match(path, method);
    // By itself, lest a route of one spelling hides a case-insensitive one; whose service need not be this route's.
    if (this.#anyCase !== undefined) matches.push(...this.#anyCase.own.match(path, method));
    return matches.some((match) => this.#isOther(route, facts, match))
      ? "could be read as another route's"
      : undefined;
  }

  /** Whether another route takes a path, as specific at least, and decides otherwise. */
  #isOther(route: T, { path, decides }: FindableRoute, match: Match<T>): boolean {
    if (this.#specificity(match) < segmentsOf(path)) return false;
    return routesOf(match).some((other) => {
      if (other === route) return false;
      const facts = this.#facts.get(other) as FindableRoute;
      if (facts.decides === "" || facts.decides === decides) return false;
      // The same form: it was the policy that told these spellings apart.
      const folds = facts.caseInsensitive;
      return comparablePattern(facts.path, folds) !== comparablePattern(path, folds);
    });
  }

  /** Grows with how much of the path a match's pattern names; -1 = no match. */
  #specificity(match: Match<T>): number {
    const [route] = routesOf(match);
    return route === undefined ? -1 : segmentsOf((this.#facts.get(route) as FindableRoute).path);
  }
}

/** Routers without regard to case. */
interface AnyCase<T> {
  /** Case-insensitive routes, as spelled. */
  readonly spelled: Router<T, FindableRoute>;
  /** Case-insensitive routes, by their forms. */
  readonly own: Forms<T>;
  readonly all: Forms<T>;
}

/** Finds routes by the form that all readings of a path have in common. */
class Forms<T> {
  readonly #foldsCase: boolean;
  readonly #isSpelled: boolean;
  readonly #plain: Router<T>;
  // Apart, so that they do not hide what `/a/*` says of their form.
  #odd: Router<T> | undefined;
  /** Of patterns like `/a/` or `/a;v=1` where something decides: what they name has other spellings. */
  #oddDeciding: Router<T> | undefined;

  /** @param spelled over the same routes as they are written, where each is written in its form */
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

  /** Whether a path without readings of its own is one of a pattern that has some. */
  isFormOfOdd(path: string, method: string): boolean {
    return this.#oddDeciding !== undefined && this.#oddDeciding.match(path, method).kind !== "none";
  }

  /** Whether a path leads elsewhere once its encoded slashes are decoded. */
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

/** Exact patterns come before every prefix. */
function segmentsOf(pattern: string): number {
  return pattern.endsWith("/*") ? pattern.split("/").length - 2 : Infinity;
}
