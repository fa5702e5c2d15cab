// Selects the claims of an ID token that a session keeps.
import type { LoginOptions } from "../login/options.ts";
import type { JsonObject } from "../tokens/token-parts.ts";

type Kept = Record<string, unknown>;

/** Claims about the ID token and not about the user. */
const tokenClaims = new Set([
  "nonce",
  "at_hash",
  "c_hash",
  "s_hash",
  "azp",
  "jti",
  "nbf",
  "exp",
  "iat",
  "auth_time",
]);
export function userClaims(claims: JsonObject, { requiredClaims }: LoginOptions): Kept {
  const required = Object.keys(requiredClaims);
  const isKept = (name: string): boolean =>
    !tokenClaims.has(name) || required.some((path) => path === name || path.startsWith(`${name}.`));
  return Object.fromEntries(Object.entries(claims).filter(([name]) => isKept(name)));
}

/** A refreshed ID token may lack `sid`, which the provider will name in a logout. So the session keeps its own. */
export function renewedClaims({ sid }: Readonly<Kept>, claims: JsonObject, options: LoginOptions): Kept {
  return { ...(sid !== undefined && { sid }), ...userClaims(claims, options) };
}
