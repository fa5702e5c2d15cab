// URLs that a successful unsafe request makes invalid (RFC 9111 section 4.4).
import type { Exchange, Fields } from "../../src/pipeline/contract.ts";
import { urlKey } from "./key.ts";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

export function isUnsafe(method: string): boolean {
  return !safeMethods.has(method);
}

/** @returns keys of the target and of Location and Content-Location, where these are of the same origin */
export function invalidatedUrls(exchange: Exchange, status: number, fields: Fields): string[] {
  if (status < 200 || status >= 400) return [];
  const { path, query } = exchange.request;
  const urls = [urlKey(exchange, path, query)];
  for (const name of ["location", "content-location"]) {
    const reference = fields.get(name);
    const url = reference === undefined ? undefined : sameOriginUrl(exchange, reference);
    if (url !== undefined && !urls.includes(url)) urls.push(url);
  }
  return urls;
}

/** @returns the key of a reference in a response; undefined when it names another origin or is no URL */
export function sameOriginUrl(exchange: Exchange, reference: string): string | undefined {
  const { scheme, host, path, query } = exchange.request;
  const base = URL.parse(`${scheme}://${host}${path}${query}`);
  const url = base === null ? null : URL.parse(reference, base);
  if (url === null || base === null || url.host !== base.host) return undefined;
  return urlKey(exchange, url.pathname, url.search);
}
