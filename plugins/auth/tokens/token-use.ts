// What a token says it is for. Only an access token may be presented as a bearer (RFC 9068 section 4, RFC 8725 section 3.12):
// refresh, ID and logout tokens are signed by the same keys and are meant for others.
import { isJsonObject, type JsonObject } from "./token-parts.ts";

/** What an introspection answer may call a token that is presented as a bearer (RFC 7662 section 2.2). */
const bearerTypes = new Set(["bearer", "access_token"]);
/** How Ory and Amazon (`token_use`) tell access tokens from others. */
const accessUses = new Set(["access", "access_token"]);
/** What Keycloak (`typ`), Django (`token_type`) and Flask (`type`) call tokens that are for the authorization server alone. */
const neverShown = new Set([
  "initialaccesstoken",
  "logout",
  "logout_token",
  "offline",
  "refresh",
  "refresh_token",
  "registrationaccesstoken",
]);
const idTypes = new Set(["id", "id_token", "serialized-id"]);

const lower = (value: unknown): string => (typeof value === "string" ? value.toLowerCase() : "");

/** RFC 9449 section 6.2: named so, and bound to a key, as which it is then checked. */
const isBound = (type: string, { cnf }: JsonObject): boolean =>
  type.toLowerCase() === "dpop" && isJsonObject(cnf) && cnf["jkt"] !== undefined;

/** @returns the member by which an introspection answer calls this something else than an access token */
export function answeredOtherUse(answer: JsonObject, takesProofs: boolean): string | undefined {
  const type = answer["token_type"];
  if (
    typeof type === "string" &&
    !bearerTypes.has(type.toLowerCase()) &&
    !(takesProofs && isBound(type, answer))
  )
    return "token_type";
  return claimedOtherUse(answer, false);
}

/**
 * @param takesIdTokens the policy names for whom the tokens are, or which they are: an ID token may be meant, as some APIs take them
 * @returns the claim by which a token is something else than an access token
 */
export function claimedOtherUse(claims: JsonObject, takesIdTokens: boolean): string | undefined {
  const use = claims["token_use"];
  if (typeof use === "string" && !accessUses.has(lower(use)) && !(takesIdTokens && lower(use) === "id"))
    return "token_use";
  for (const name of ["typ", "token_type", "type"]) {
    const type = lower(claims[name]);
    if (neverShown.has(type) || (!takesIdTokens && idTypes.has(type))) return name;
  }
  // RFC 8417 section 2.2: it tells of something that happened, a logout or so.
  if (isJsonObject(claims["events"])) return "events";
  // OpenID Connect Core sections 3.1.3.6 and 3.3.2.11: hashes that bind an ID token to what came with it.
  return takesIdTokens ? undefined : ["at_hash", "c_hash"].find((name) => claims[name] !== undefined);
}
