// Decides whose page sent a request. It goes by what browsers send and no script can change: Sec-Fetch-Site (Fetch
// Metadata, section 2.3), and Origin (Fetch standard, section 3.2) where that is missing.
import { boundedCache, type ExchangeRequest } from "../../src/plugin-api/contract.ts";

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * @returns whether the request changes nothing. A WebSocket is never safe: it begins with a GET, pages of all sites may
 * open one, and its messages can change anything.
 */
export const isSafe = ({ method, upgrade }: ExchangeRequest): boolean =>
  upgrade === undefined && safeMethods.has(method);

/**
 * @param allowed further origins whose pages may send it
 * @returns why the request is refused; undefined = it came from a page of the same origin, from the user, or from no
 * browser
 */
export function foreignBecause(
  { fields, host }: ExchangeRequest,
  allowed: ReadonlySet<string>,
): string | undefined {
  const site = fields.get("sec-fetch-site");
  const origin = fields.get("origin");
  // `none` means that the user asked: a bookmark, or an address typed in.
  if (site === "same-origin" || site === "none") return undefined;
  if (origin !== undefined && allowed.has(origin)) return undefined;
  if (site !== undefined) return "sent by another site's page (Sec-Fetch-Site)";
  // Neither field: a program sent it, or a browser from before 2020.
  if (origin === undefined) return undefined;
  return isOwn(origin, host) ? undefined : "sent by another site's page (Origin)";
}

/**
 * Answers by host and origin. An application has few hosts, and parsing two URLs is most of the cost of a request here.
 */
const remembered = boundedCache<"own" | "foreign">(256);
const maxRememberedLength = 256;

function isOwn(origin: string, host: string): boolean {
  // No host contains a space, so the pair is unambiguous.
  const pair = `${host} ${origin}`;
  if (pair.length > maxRememberedLength) return namesHost(origin, host);
  let answer = remembered.get(pair);
  if (answer === undefined) remembered.set(pair, (answer = namesHost(origin, host) ? "own" : "foreign"));
  return answer === "own";
}

/**
 * Compares host and port only: behind a load balancer the sidecar does not always know whether the client used https.
 */
function namesHost(origin: string, host: string): boolean {
  const theirs = URL.parse(origin);
  if (theirs === null || theirs.origin !== origin) return false;
  return URL.parse(`${theirs.protocol}//${host}`)?.host === theirs.host;
}
