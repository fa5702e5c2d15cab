// Decides whether a logout may happen. A link alone must not log a user out: a page of a sibling host, or an image in
// text that users write, could make the browser follow it.
import { GatewayError, type Exchange, type Verdict } from "../../../src/plugin-api/contract.ts";
import { isNavigation } from "./navigation.ts";
import type { OwnOrigin } from "./own-origin.ts";
import type { LoginOptions } from "./options.ts";
import { logoutPage } from "./pages.ts";
import type { Logout } from "../sessions/session-end.ts";

const foreign: Verdict = {
  action: "reject",
  error: new GatewayError("forbidden", "A logout starts on this site."),
};
const notAllowed: Verdict = {
  action: "reject",
  error: new GatewayError("method_not_allowed", "A logout is a POST.", { fields: ["Allow", "POST"] }),
};

/** The browser is logged out anyway, as the caller clears its cookies. Other sidecars are told as soon as possible. */
export const logoutIncomplete: Verdict = {
  action: "reject",
  error: new GatewayError(
    "dependency_unavailable",
    "This browser is logged out, but the logout is not complete: the session may still be good elsewhere for a while.",
    { fields: ["Cache-Control", "no-store", "Retry-After", "1"] },
  ),
};

export const untoldBecause = "logout: it could not be told to other sidecars, or be kept";
export const unreadBecause = "logout: its session cannot be read here, and so was not ended";

/** @returns the answer to a logout that must not happen yet; undefined = the user wants it */
export function logoutRefusal(exchange: Exchange, origin: OwnOrigin): Verdict {
  const { request } = exchange;
  if (request.method === "POST") {
    if (origin.sent(request)) return undefined;
    exchange.refusedBecause = "logout: not from the own origin";
    return foreign;
  }
  if (!isNavigation(exchange)) return notAllowed;
  return isClicked(exchange) ? undefined : logoutPage;
}

/** Whether the user clicked on a page of the own origin, without a redirect elsewhere (Fetch Metadata shows both). */
function isClicked({ request: { fields, method } }: Exchange): boolean {
  return (
    method === "GET" &&
    fields.get("sec-fetch-site") === "same-origin" &&
    fields.get("sec-fetch-user") === "?1" &&
    fields.get("sec-fetch-dest") === "document"
  );
}

/** @returns where the browser goes next: the provider, if it takes part (OpenID RP-Initiated Logout 1.0 section 2) */
export function afterLogoutAt(
  { afterLogout, publicUrl, clientId }: LoginOptions,
  endpoint: string | undefined,
  session: Logout["session"],
): string {
  if (session === undefined || endpoint === undefined) return afterLogout;
  const url = new URL(endpoint);
  url.searchParams.set("client_id", clientId);
  url.searchParams.set("post_logout_redirect_uri", new URL(afterLogout, publicUrl).href);
  // Without the hint, the provider asks the user.
  if (session !== "unread" && session.idToken !== undefined)
    url.searchParams.set("id_token_hint", session.idToken);
  return url.href;
}
