// URLs that a successful unsafe request makes invalid (RFC 9111 section 4.4).
import type { Exchange, Fields } from "../../../src/plugin-api/contract.ts";
import { type NormalQuery, urlKey } from "../key.ts";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

export function isUnsafe(method: string): boolean {
  return !safeMethods.has(method);
}

/**
 * @param normal of this route; routes for other methods may keep queries as they are
 * @returns keys of the target and of Location and Content-Location, where these are of the same origin
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
 * A service whose route strips a prefix says `/7` for what its clients know as `/api/7`. Which leading segments of the
 * pattern are stripped is not known here: each is tried, and at worst one answer too many is asked for again.
 */
function behindPrefix(reference: string, pattern: string): string[] {
  if (!/^\/(?!\/)/.test(reference)) return [];
  const segments = pattern.replace(/\/\*$/, "").split("/").slice(1);
  return segments.map((_, last) => `/${segments.slice(0, last + 1).join("/")}${reference}`);
}

/** @returns the key of a reference in a response; undefined when it names another origin or is no URL */
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
