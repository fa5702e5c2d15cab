// Rules of `policy lint` for auth: whether a route asks who calls, and which exclusions and rules can never match.
import type { LintFinding, LintRouteReach, PluginLint } from "../../src/plugin-api/contract.ts";
import { compileMethods } from "../../src/language/methods.ts";
import { patternTakes } from "../../src/language/path-pattern.ts";
import { aboutKeptTokens, aboutSharedPaths, differingLogins, sharedLoginPaths } from "./lint-login.ts";
import {
  aboutComponents,
  aboutGuesses,
  aboutOrigins,
  boundlessGuesses,
  narrowSignatures,
  unnamedOrigins,
} from "./lint-proofs.ts";
import type { AuthOptions } from "./options.ts";
import type { RuleOptions } from "./rules/options.ts";

interface Named {
  readonly path: string;
  readonly methods?: readonly string[] | undefined;
}

const namedBy = (exclusion: AuthOptions["exclude"][number]): Named =>
  typeof exclusion === "string" ? { path: exclusion } : exclusion;

/** @returns the index of an exclusion that covers the whole route; -1 = none does. See exclusions.ts. */
function excluding({ exclude }: AuthOptions, route: LintRouteReach): number {
  return exclude.map(namedBy).findIndex(({ path, methods }) => {
    const { stripPrefix } = route;
    if (!route.isWithin(path, methods)) return false;
    const base = path.replace(/\/\*$/, "");
    return stripPrefix === undefined || base.length > stripPrefix.length || base === path;
  });
}

/**
 * Whether the rule refuses unknown callers: every allow rule needs a known caller, and `deny: {}` refuses everybody.
 */
const refusesUnknown = ({ deny, dryRun }: RuleOptions): boolean =>
  !dryRun && (deny === undefined || Object.keys(deny).length === 0);

function excludedText(options: AuthOptions, route: LintRouteReach): string | undefined {
  const index = excluding(options, route);
  return index === -1 ? undefined : `auth.exclude[${index}] takes all of it`;
}

/** Whether the outer pattern and methods cover all of the inner ones. */
function isWithin(inner: Named, outer: Named): boolean {
  if (!patternTakes(outer.path, inner.path)) return false;
  if (outer.methods === undefined) return true;
  const wide = compileMethods(outer.methods);
  return inner.methods !== undefined && [...compileMethods(inner.methods)].every((each) => wide.has(each));
}

export const lint: PluginLint<AuthOptions> = {
  provides: {
    identity: (options, route) => excludedText(options, route) ?? true,
    authentication(options, route) {
      const excluded = excludedText(options, route);
      if (excluded !== undefined) return excluded;
      const ruled = options.rules.some(
        (rule) => refusesUnknown(rule) && route.isWithin(rule.path, rule.methods),
      );
      return options.required || ruled ? true : "auth.required is false, and no rule asks for a caller";
    },
    rule(options, route) {
      const isAsked = options.rules.some(
        ({ dryRun, path, methods }) => !dryRun && route.serves(path, methods),
      );
      return excludedText(options, route) ?? (isAsked || "no member of auth.rules is about it");
    },
  },
  rules: {
    "exclude-never-matches": {
      about: "A member of `auth.exclude` that no request of a route with auth can be",
      everywhere: true,
      *check({ exclude }, route): Generator<LintFinding> {
        for (const [index, { path, methods }] of exclude.map(namedBy).entries()) {
          if (route.takes(path, methods)) continue;
          yield {
            path: ["exclude", index],
            message: `no request for ${path} comes to a route with these options`,
            advice: "exclusions are compared with the path that the client sends: correct it, or take it out",
          };
        }
      },
    },
    "rule-never-matches": {
      about: "A member of `auth.rules` that no request of a route with auth can be",
      everywhere: true,
      *check({ rules }, route): Generator<LintFinding> {
        for (const [index, { path, methods }] of rules.entries()) {
          if (route.serves(path, methods)) continue;
          yield {
            path: ["rules", index],
            message: `no request for ${path}${methods === undefined ? "" : ` by ${methods.join(", ")}`} comes to a route with these options`,
            advice: "correct its path or methods, run auth on the route that was meant, or take it out",
          };
        }
      },
    },
    "unnamed-origin": { about: aboutOrigins, check: unnamedOrigins },
    "boundless-guesses": { about: aboutGuesses, check: boundlessGuesses },
    "narrow-signatures": { about: aboutComponents, check: narrowSignatures },
    "differing-login": {
      about: aboutKeptTokens,
      check: (options, _route, everywhere) => differingLogins(options, everywhere),
    },
    "shared-login-paths": {
      about: aboutSharedPaths,
      check: (options, _route, everywhere) => sharedLoginPaths(options, everywhere),
    },
    "rule-excluded": {
      about: "A member of `auth.rules` whose paths `auth.exclude` lets pass before any rule is asked",
      everywhere: true,
      *check({ exclude, rules }, route): Generator<LintFinding> {
        if (route.stripPrefix !== undefined) return;
        for (const [index, rule] of rules.entries()) {
          const by = exclude.map(namedBy).findIndex((each) => isWithin(rule, each));
          if (by === -1) continue;
          yield {
            path: ["rules", index],
            message: `is never asked: exclude[${by}] lets ${rule.path} pass before`,
            advice: "narrow the exclusion, or take the rule out",
          };
        }
      },
    },
  },
};
