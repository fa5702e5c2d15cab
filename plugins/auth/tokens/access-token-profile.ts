// Checks the JWT profile for access tokens (RFC 9068), so that nothing else that an issuer signs passes for one.
import type { JsonObject } from "./token-parts.ts";

const named = ["sub", "client_id", "jti"] as const;

/**
 * The other types and times of the token have been checked before.
 * @param type `typ` of the header in lower case, without `application/`
 * @returns what the token lacks; undefined = nothing
 */
export function profileFault(type: string | undefined, claims: JsonObject): string | undefined {
  // Section 4: no ID token has that type.
  if (type !== "at+jwt") return "typ";
  // Section 2.2. `iss` and `aud` are checked elsewhere.
  if (claims["exp"] === undefined) return "exp";
  if (claims["iat"] === undefined) return "claim iat";
  const lacking = named.find((name) => typeof claims[name] !== "string" || claims[name] === "");
  return lacking === undefined ? undefined : `claim ${lacking}`;
}
