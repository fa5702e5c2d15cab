// Names the cookies of logins and the token cookies in a policy's options. Every sidecar hides them from its service,
// even where the route with the login belongs to another service.
import type { OwnedCookie } from "../../../src/plugin-api/contract.ts";
import { chunkNames } from "../sessions/cookies.ts";
import { compileTokenSources } from "../tokens/token-sources.ts";

/**
 * At most four logins (tabs) wait in one browser. One that restores forty tabs must not collect more cookies than a
 * request head may hold.
 */
export const pendingPlaces = Array.from({ length: 4 }, (_, place) => place);

/** @returns the names of the two cookies of a login under way */
export function pendingNames(cookieName: string, place: number): { mark: string; flow: string } {
  // `__Host-` demands Path=/ (RFC 6265bis section 4.1.3.2).
  const stem = cookieName.replace(/^__Host-/i, "__Secure-");
  return { mark: `${cookieName}.login.${place}`, flow: `${stem}.flow.${place}` };
}

export const usualCookieName = "__Host-outrigger";

/** @param options of one route or of all, as written in a policy and not validated yet */
export function cookiesOf(options: unknown): OwnedCookie[] {
  const { jwt } = Object(options) as { jwt?: unknown };
  const { login, from } = Object(jwt) as { login?: unknown; from?: unknown };
  const sources = Array.isArray(from) ? from.filter((source) => typeof source === "string") : [];
  const tokens = compileTokenSources(sources).cookies.map((name) => ({ name, fromService: true as const }));
  if (typeof login !== "object" || login === null) return tokens;
  const { cookieName = usualCookieName } = login as { cookieName?: unknown };
  const name = String(cookieName);
  const pending = pendingPlaces.flatMap((place) => Object.values(pendingNames(name, place)));
  return [...tokens, ...chunkNames({ name }), ...pending.map((each) => ({ name: each }))];
}
