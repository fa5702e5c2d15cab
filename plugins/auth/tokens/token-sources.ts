// Reads bearer tokens from the places that `jwt.from` lists. Browsers cannot set Authorization on a WebSocket, so there
// the token comes in the query or as a subprotocol. The sidecar removes both from the request before anybody else sees
// it.
import { z } from "zod";
import type { ExchangeRequest, ExchangeResponse, Hooks } from "../../../src/plugin-api/contract.ts";

/**
 * Characters that need no escape in a query, and that cookies and subprotocols may hold (RFC 6265 section 4.1.1, RFC
 * 6455 section 4.1).
 */
const sourceText = /^(?:header|cookie|(?:cookie|query|subprotocol):[A-Za-z0-9_.-]{1,64})$/;
const usualCookie = "access_token";

export const tokenSources = z
  .array(z.string().regex(sourceText, "must be header, cookie, cookie:NAME, query:NAME or subprotocol:NAME"))
  .min(1)
  .max(8)
  .refine((list) => new Set(list).size === list.length, { error: "names a source twice" })
  .default(["header"])
  .describe(
    "Where a bearer token may be: `header` (Authorization), `cookie:NAME` (`cookie` = `cookie:access_token`), `query:NAME`, `subprotocol:NAME` (a WebSocket offers NAME and NAME.token)",
  );

export interface TokenSources {
  readonly header: boolean;
  readonly cookies: readonly string[];
  readonly query: readonly string[];
  readonly subprotocols: readonly string[];
}

export function compileTokenSources(from: readonly string[]): TokenSources {
  const named = (kind: string): string[] =>
    from.filter((source) => source.startsWith(`${kind}:`)).map((source) => source.slice(kind.length + 1));
  return {
    header: from.includes("header"),
    cookies: [...new Set([...named("cookie"), ...(from.includes("cookie") ? [usualCookie] : [])])],
    query: named("query"),
    subprotocols: named("subprotocol"),
  };
}

/**
 * @param keyQuery parameters with API keys
 * @returns what the sidecar removes from requests for these sources
 */
export function ownedBy(
  { cookies, query, subprotocols }: TokenSources,
  keyQuery: readonly string[],
): Required<Pick<Hooks, "ownedCookies" | "ownedQuery" | "ownedSubprotocols">> {
  return {
    ownedCookies: cookies.map((name) => ({ name, fromService: true })),
    ownedQuery: [...query, ...keyQuery],
    ownedSubprotocols: subprotocols,
  };
}

/** @returns the tokens in the query and among the subprotocols. A malformed escape gives "", which is refused. */
export function shownElsewhere(
  { ownedQuery, ownedSubprotocols }: ExchangeRequest,
  { query, subprotocols }: TokenSources,
): string[] {
  const tokens: string[] = [];
  if (ownedQuery !== undefined) for (const name of query) tokens.push(...queryValues(ownedQuery, name));
  for (const offered of ownedSubprotocols ?? []) {
    const prefix = subprotocols.find((name) => offered.startsWith(`${name}.`));
    if (prefix !== undefined) tokens.push(offered.slice(prefix.length + 1));
  }
  return tokens;
}

const nameOf = (pair: string): string => pair.slice(0, Math.max(0, pair.indexOf("="))).trim();

/**
 * @returns the tokens in cookies; "unclear" = one stands behind a comma, where some readers find it. They count only
 * where no token is shown on purpose: browsers send cookies with requests of any page.
 */
export function shownInCookies(
  { ownedCookies }: ExchangeRequest,
  { cookies }: TokenSources,
): string[] | "unclear" {
  if (ownedCookies === undefined) return [];
  const pairs = ownedCookies.split("; ");
  const isUnclear = (pair: string): boolean =>
    pair.split(",").some((part, index) => index > 0 && cookies.includes(nameOf(part)));
  if (pairs.some((pair) => pair.includes(",") && isUnclear(pair))) return "unclear";
  return pairs.flatMap((pair) => {
    const equals = pair.indexOf("=");
    const value = pair.slice(equals + 1);
    return value !== "" && cookies.includes(pair.slice(0, equals)) ? [value] : [];
  });
}

/**
 * Names a subprotocol in an accepted handshake when the service chose none: a browser fails a handshake that names none
 * of those it offered (WebSockets standard). The token itself is never sent back.
 */
export function answerSubprotocol(
  { ownedSubprotocols }: ExchangeRequest,
  { status, fields }: ExchangeResponse,
  { subprotocols }: TokenSources,
): void {
  if (ownedSubprotocols === undefined || status !== 101 || fields.has("sec-websocket-protocol")) return;
  const bare = ownedSubprotocols.find((offered) => subprotocols.includes(offered));
  if (bare !== undefined) fields.set("Sec-WebSocket-Protocol", bare);
}

/**
 * @param query without `?`
 * @returns the values of one query parameter, percent-decoded; a malformed escape gives ""
 */
export function queryValues(query: string, name: string): string[] {
  const values: string[] = [];
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    try {
      if (decodeURIComponent(equals === -1 ? part : part.slice(0, equals)) !== name) continue;
      values.push(equals === -1 ? "" : decodeURIComponent(part.slice(equals + 1)));
    } catch {
      values.push("");
    }
  }
  return values;
}
