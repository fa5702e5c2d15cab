// Builds what the endpoint is told of a request, and the cache key: both have exactly the parts that the policy names.
import { hash } from "node:crypto";
import type { Exchange, Identity } from "../../src/plugin-api/contract.ts";
import type { ExtAuthOptions } from "./options.ts";

type Read = (exchange: Exchange) => unknown;

function told(identity: Identity | undefined): unknown {
  if (identity === undefined) return undefined;
  const { userId, issuer, plan, scopes, roles, method, credentialId, claims } = identity;
  return { userId, issuer, plan, scopes, roles, method, credentialId, claims };
}

const facts: Readonly<Record<string, Read>> = {
  method: ({ request }) => request.method,
  path: ({ request }) => request.path,
  upstreamPath: ({ request }) => request.upstreamPath,
  query: ({ request }) => request.query,
  host: ({ request }) => request.host,
  scheme: ({ request }) => request.scheme,
  clientIp: ({ client }) => client.address,
  route: ({ route }) => route.pattern,
  identity: ({ identity }) => told(identity),
};

const headerPrefix = "header:";

/** @returns the field names among the parts `header:<name>` */
export function headersOf(sources: readonly string[]): string[] {
  return sources.flatMap((each) => (each.startsWith(headerPrefix) ? [each.slice(headerPrefix.length)] : []));
}

/** Builds OPA's `input`: each part under its name, fields under `headers` in lower case. */
export function compileDocument(sources: readonly string[]): (exchange: Exchange) => object {
  const headers = headersOf(sources);
  const plain = sources.filter((each) => Object.hasOwn(facts, each));
  return (exchange) => {
    const document: Record<string, unknown> = {};
    for (const name of plain) document[name] = facts[name]?.(exchange);
    if (headers.length === 0) return document;
    // `Object.fromEntries` makes a plain member of any field name, even of `__proto__`.
    const entries = headers.map((name) => [name, exchange.request.fields.get(name)] as const);
    return { ...document, headers: Object.fromEntries(entries.filter(([, value]) => value !== undefined)) };
  };
}

/**
 * Two user ids never give the same text.
 * @throws URIError for an id without a UTF-8 form
 */
const userText = (id: string): string => (/^[\x21-\x24\x26-\x7e]+$/.test(id) ? id : encodeURIComponent(id));

/** Builds the fields of a GET, under the names that services for `auth_request` and forward auth read. */
export function compileFields(sources: readonly string[]): (exchange: Exchange) => Record<string, string> {
  const headers = headersOf(sources);
  const has = (name: string): boolean => sources.includes(name);
  const [path, query, upstreamPath] = [has("path"), has("query"), has("upstreamPath")];
  const told: readonly (readonly [string, Read])[] = [
    ["method", "x-forwarded-method"],
    ["host", "x-forwarded-host"],
    ["scheme", "x-forwarded-proto"],
    ["clientIp", "x-forwarded-for"],
    ["route", "x-forwarded-route"],
  ].flatMap(([source = "", name = ""]) => (has(source) ? [[name, facts[source] as Read] as const] : []));
  return (exchange) => {
    const { request, identity } = exchange;
    const fields = new Map<string, string>();
    for (const name of headers) {
      const value = request.fields.get(name);
      if (value !== undefined) fields.set(name, value);
    }
    for (const [name, read] of told) fields.set(name, String(read(exchange)));
    if (path || query)
      fields.set("x-forwarded-uri", `${path ? request.path : ""}${query ? request.query : ""}`);
    if (upstreamPath) fields.set("x-forwarded-upstream-path", request.upstreamPath);
    if (has("identity")) {
      fields.delete("x-user-id");
      if (identity !== undefined) fields.set("x-user-id", userText(identity.userId));
    }
    return Object.fromEntries(fields);
  };
}

/**
 * @returns a cache key: equal for requests that agree in all the named parts, and for no others. It is a hash, so it
 * holds no credentials.
 */
export function compileKey({ by }: ExtAuthOptions["cache"]): (exchange: Exchange) => string {
  const reads = by.map((source): Read => {
    const name = source.slice(headerPrefix.length);
    return facts[source] ?? (({ request }) => request.fields.get(name));
  });
  return (exchange) => {
    const parts = reads.map((read) => read(exchange) ?? null);
    return hash("sha256", JSON.stringify(parts), "base64url");
  };
}
