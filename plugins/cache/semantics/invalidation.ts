// Finds the URLs that a successful unsafe request invalidates (RFC 9111 section 4.4).
import type { Exchange, Fields } from "../../../src/plugin-api/contract.ts";
import { type NormalQuery, urlKey } from "../key.ts";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

export function isUnsafe(method: string): boolean {
  return !safeMethods.has(method);
}

/**
 * @param normal this route's query normaliser; routes for other methods may not normalise, so both forms are returned
 * @returns URL keys of the target, and of Location and Content-Location if they name the same host
 */
export function invalidatedUrls(
  exchange: Exchange,
  normal: NormalQuery,
  { status, fields }: { readonly status: number; readonly fields: Fields },
): string[] {
  if (status < 200 || status >= 400) return [];
  const { path, query } = exchange.request;
  const urls = new Set([urlKey(exchange, path, query), urlKey(exchange, path, normal(query))]);
  for (const name of ["location", "content-location"]) {
    const reference = fields.get(name);
    if (reference === undefined) continue;
    for (const meant of [reference, ...behindPrefix(reference, exchange.route.pattern)]) {
      const url = sameOriginUrl(exchange, normal, meant);
      if (url !== undefined) urls.add(url);
    }
  }
  return [...urls];
}

/**
 * If a route strips a prefix, the service writes `/7` for the URL that clients know as `/api/7`. This function does not
 * know how many leading segments of the pattern are stripped, so it tries each count; at worst, one answer too many is
 * invalidated.
 */
function behindPrefix(reference: string, pattern: string): string[] {
  if (!/^\/(?!\/)/.test(reference)) return [];
  const segments = pattern.replace(/\/\*$/, "").split("/").slice(1);
  return segments.map((_, last) => `/${segments.slice(0, last + 1).join("/")}${reference}`);
}

/** @returns the URL key of a reference in a response; undefined if it names another host or is not a URL */
export function sameOriginUrl(
  exchange: Exchange,
  normal: NormalQuery,
  reference: string,
): string | undefined {
  const { scheme, host, path, query } = exchange.request;
  const base = URL.parse(`${scheme}://${host}${path}${query}`);
  const url = base === null ? null : URL.parse(reference, base);
  if (url === null || base === null || url.host !== base.host) return undefined;
  return urlKey(exchange, url.pathname, normal(url.search));
}
