// Decides which requests bypass the cache by the policy's `bypass` option.
import type { ExchangeRequest } from "../../../src/plugin-api/contract.ts";
import type { CacheOptions } from "../options.ts";

/** @returns a test: whether a request bypasses the cache, so that it neither uses nor fills it */
export function createBypassTest(bypass: CacheOptions["bypass"]): (request: ExchangeRequest) => boolean {
  const { fields, cookies, query } = bypass;
  if (fields.length + cookies.length + query.length === 0) return () => false;
  return (request) =>
    fields.some((name) => request.fields.has(name)) ||
    (cookies.length > 0 && namesAny(request.fields.get("cookie") ?? "", /[;,]/, cookies)) ||
    (query.length > 0 && namesAny(request.query.slice(1), "&", query));
}

function namesAny(text: string, separator: string | RegExp, names: readonly string[]): boolean {
  return text.split(separator).some((part) => names.includes((part.split("=")[0] as string).trim()));
}
