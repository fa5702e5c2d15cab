// Whose page sent a request, by what browsers say and no script can change: Sec-Fetch-Site (Fetch Metadata, section 2.3),
// and Origin (Fetch standard, section 3.2) where that is missing.
import { boundedCache, type ExchangeRequest } from "../../src/plugin-api/contract.ts";

/** They change nothing (RFC 9110 section 9.2.1). */
const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

/** A WebSocket begins with a GET, is open to pages of all sites, and changes what it likes. */
export const isSafe = ({ method, upgrade }: ExchangeRequest): boolean =>
  upgrade === undefined && safeMethods.has(method);

/**
 * @param allowed further origins
 * @returns why it may not be; undefined = the own origin's page, the user, or no browser sent it
 */
export function foreignBecause(
  { fields, host }: ExchangeRequest,
  allowed: ReadonlySet<string>,
): string | undefined {
  const site = fields.get("sec-fetch-site");
  const origin = fields.get("origin");
  // `none` is the user: a bookmark, an address that was typed in.
  if (site === "same-origin" || site === "none") return undefined;
  if (origin !== undefined && allowed.has(origin)) return undefined;
  if (site !== undefined) return "sent by another site's page (Sec-Fetch-Site)";
  // A browser older than both fields is one of before 2020; programs send neither.
  if (origin === undefined) return undefined;
  return isOwn(origin, host) ? undefined : "sent by another site's page (Origin)";
}

/** An application has few hosts, and parsing two URLs is most of what a request costs here. */
const remembered = boundedCache<"own" | "foreign">(256);
const maxRememberedLength = 256;

function isOwn(origin: string, host: string): boolean {
  // No host has a space in it.
  const pair = `${host} ${origin}`;
  if (pair.length > maxRememberedLength) return namesHost(origin, host);
  let answer = remembered.get(pair);
  if (answer === undefined) remembered.set(pair, (answer = namesHost(origin, host) ? "own" : "foreign"));
  return answer === "own";
}

/** By host and port alone: whether the client came by https is not always known behind a load balancer. */
function namesHost(origin: string, host: string): boolean {
  const theirs = URL.parse(origin);
  if (theirs === null || theirs.origin !== origin) return false;
  return URL.parse(`${theirs.protocol}//${host}`)?.host === theirs.host;
}
