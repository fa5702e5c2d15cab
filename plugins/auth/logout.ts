// What a logout takes. A link must not log anybody out by itself: a page of a sibling host, or an image in a text that
// users write, could follow it for them.
import { GatewayError, type Exchange, type Verdict } from "../../src/pipeline/contract.ts";
import { isNavigation } from "./navigation.ts";
import type { OwnOrigin } from "./own-origin.ts";
import { logoutPage } from "./pages.ts";

const foreign: Verdict = {
  action: "reject",
  error: new GatewayError("forbidden", "A logout starts on this site."),
};
const notAllowed: Verdict = {
  action: "reject",
  error: new GatewayError("method_not_allowed", "A logout is a POST.", { fields: ["Allow", "POST"] }),
};

/** What a request for a logout gets instead; undefined = the user wants it. */
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

/** A user's own click on the own origin, through no other (Fetch Metadata: redirects count). */
function isClicked({ request: { fields, method } }: Exchange): boolean {
  return (
    method === "GET" &&
    fields.get("sec-fetch-site") === "same-origin" &&
    fields.get("sec-fetch-user") === "?1" &&
    fields.get("sec-fetch-dest") === "document"
  );
}
