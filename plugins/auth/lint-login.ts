// Rules of `policy lint` for logins on several routes: the sessions of one are shared, whichever route began them, and
// two do not answer at one path.
import type { LintFinding } from "../../src/plugin-api/contract.ts";
import type { LoginOptions } from "./login/options.ts";
import type { AuthOptions } from "./options.ts";

export const aboutKeptTokens =
  "Routes that share a login, of which some keep its access tokens (`keepAccessToken`) and this one does not";

export const aboutSharedPaths =
  "Different logins of one origin with a path in common, at which one of them alone can answer";

const pathNames = ["callbackPath", "loginPath", "logoutPath", "backchannelLogoutPath"] as const;

/** Compares what session-seal.ts tells logins apart by. */
function sharesSessions(one: LoginOptions, other: LoginOptions): boolean {
  return (
    one.issuer === other.issuer &&
    one.clientId === other.clientId &&
    one.cookieName === other.cookieName &&
    hasOriginOf(one, other)
  );
}

function hasOriginOf(one: LoginOptions, other: LoginOptions): boolean {
  return new URL(one.publicUrl).origin === new URL(other.publicUrl).origin;
}

/** @param everywhere the options of all routes with auth */
export function* differingLogins(
  { jwt }: AuthOptions,
  everywhere: readonly AuthOptions[],
): Generator<LintFinding> {
  const login = jwt?.login;
  if (login === undefined || login.keepAccessToken) return;
  const isAsked = everywhere.some(({ jwt: other }) => {
    return other?.login?.keepAccessToken === true && sharesSessions(login, other.login);
  });
  if (!isAsked) return;
  yield {
    path: ["jwt", "login", "keepAccessToken"],
    message: "sessions that begin or are refreshed here have no access token for the routes that exchange it",
    advice: "say the same on all routes of the login, best in the defaults of pluginConfig",
  };
}

/** @param everywhere the options of all routes with auth */
export function* sharedLoginPaths(
  { jwt }: AuthOptions,
  everywhere: readonly AuthOptions[],
): Generator<LintFinding> {
  const login = jwt?.login;
  if (login === undefined) return;
  const others = everywhere
    .flatMap(({ jwt: other }) => other?.login ?? [])
    .filter((other) => {
      return hasOriginOf(login, other) && !sharesSessions(login, other);
    });
  for (const name of pathNames) {
    const path = login[name];
    if (path === undefined) continue;
    const other = others.find((each) => pathNames.some((theirs) => each[theirs] === path));
    if (other === undefined) continue;
    yield {
      path: ["jwt", "login", name],
      message: `is a path of the login of ${other.clientId} at ${other.issuer} too: one route takes it, and the other login never ends`,
      advice: "give each login paths of its own, which its route covers, or make them one login",
    };
  }
}
