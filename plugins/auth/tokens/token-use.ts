// Decides what a token is for. Only an access token may be shown as a bearer token (RFC 9068 section 4, RFC 8725
// section 3.12). Refresh, ID and logout tokens are signed by the same keys, but are meant for others.
import { isJsonObject, type JsonObject } from "./token-parts.ts";

/** Types that an introspection answer may give a bearer token (RFC 7662 section 2.2). */
const bearerTypes = new Set(["bearer", "access_token"]);
/** Values of `token_use` by which Ory and Amazon mark access tokens. */
const accessUses = new Set(["access", "access_token"]);
/**
 * Types that Keycloak (`typ`), Django (`token_type`) and Flask (`type`) give tokens for the authorization server only.
 */
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

/** Whether the token's type is DPoP and it is bound to a key, which is then checked (RFC 9449 section 6.2). */
const isBound = (type: string, { cnf }: JsonObject): boolean =>
  type.toLowerCase() === "dpop" && isJsonObject(cnf) && cnf["jkt"] !== undefined;

/** @returns the member by which an introspection answer says that this is not an access token */
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
 * @param takesIdTokens the policy requires an audience or a claim of ID tokens, so it may mean ID tokens, which some
 * APIs accept
 * @returns the claim that says the token is not an access token
 */
export function claimedOtherUse(claims: JsonObject, takesIdTokens: boolean): string | undefined {
  const use = claims["token_use"];
  if (typeof use === "string" && !accessUses.has(lower(use)) && !(takesIdTokens && lower(use) === "id"))
    return "token_use";
  for (const name of ["typ", "token_type", "type"]) {
    const type = lower(claims[name]);
    if (neverShown.has(type) || (!takesIdTokens && idTypes.has(type))) return name;
  }
  // RFC 8417 section 2.2: the token reports an event, such as a logout.
  if (isJsonObject(claims["events"])) return "events";
  // OpenID Connect Core sections 3.1.3.6 and 3.3.2.11: hashes that bind an ID token to a code or an access token.
  return takesIdTokens ? undefined : ["at_hash", "c_hash"].find((name) => claims[name] !== undefined);
}
