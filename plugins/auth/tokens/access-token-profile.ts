// The profile of JWTs for access tokens, RFC 9068: what every such token has, so that nothing else an issuer signs is one.
import type { JsonObject } from "./token-parts.ts";

const named = ["sub", "client_id", "jti"] as const;

/**
 * Of a token whose types and times are sound otherwise.
 * @param type `typ` of the header in lower case, without `application/`
 * @returns what it lacks
 */
export function profileFault(type: string | undefined, claims: JsonObject): string | undefined {
  // Section 4: no ID token has that type.
  if (type !== "at+jwt") return "typ";
  // Section 2.2; of `iss` and `aud` more is asked elsewhere.
  if (claims["exp"] === undefined) return "exp";
  if (claims["iat"] === undefined) return "claim iat";
  const lacking = named.find((name) => typeof claims[name] !== "string" || claims[name] === "");
  return lacking === undefined ? undefined : `claim ${lacking}`;
}
