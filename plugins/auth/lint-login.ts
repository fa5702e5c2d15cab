// Rule of `policy lint` for a login on several routes: its sessions are shared, whichever route began them.
import type { LintFinding } from "../../src/plugin-api/contract.ts";
import type { LoginOptions } from "./login/options.ts";
import type { AuthOptions } from "./options.ts";

export const aboutKeptTokens =
  "Routes that share a login, of which some keep its access tokens (`keepAccessToken`) and this one does not";

/** Compares what session-seal.ts tells logins apart by. */
function sharesSessions(one: LoginOptions, other: LoginOptions): boolean {
  return (
    one.issuer === other.issuer &&
    one.clientId === other.clientId &&
    one.cookieName === other.cookieName &&
    new URL(one.publicUrl).origin === new URL(other.publicUrl).origin
  );
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
