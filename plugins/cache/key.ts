// Makes cache keys: which URL a request asks for, and for whom. Answers may differ only by what is in the key.
import { hash } from "node:crypto";
import { claimText } from "../../src/language/claim-path.ts";
import type { Exchange, Fields, Identity } from "../../src/plugin-api/contract.ts";
import { hashText } from "./store/intrusive-hash-table.ts";
import type { CacheOptions } from "./options.ts";
import type { CacheRequest } from "./semantics/request.ts";
import { selectingValue } from "./semantics/vary.ts";

export interface Key {
  readonly url: string;
  /** `hashText` of the URL, made once for all tables. */
  readonly hash: number;
  /** Partition shared by all callers: the policy part, then keyed fields, `vary` members and the variant, if any. */
  readonly shared: string;
  /** The caller's own partition; equal to `shared` when the caller is not identified. */
  readonly own: string;
}

/** The part of the policy that makes keys. */
export type KeyPolicy = Pick<CacheOptions, "ignoreQuery" | "sortQuery" | "vary" | "scope">;

/** @returns `<upstream> <scheme>://<host><path><query>`; only an upstream's socket path can contain a blank */
export function urlKey(exchange: Exchange, path: string, query: string): string {
  const { scheme, host } = exchange.request;
  return `${exchange.route.upstream} ${scheme}://${host}${path}${query}`;
}

/** The upstream in a URL key. */
export function upstreamOf(url: string): string {
  return url.slice(0, url.lastIndexOf(" ", url.indexOf("://")));
}

/** Host, and path with query, of a URL key, for purges. */
export function targetOf(url: string): { host: string; path: string } {
  const address = url.slice(url.indexOf("://") + 3);
  const slash = address.indexOf("/");
  return slash === -1
    ? { host: address, path: "" }
    : { host: address.slice(0, slash), path: address.slice(slash) };
}

/** Normalises a query (with its `?`) for a key. */
export type NormalQuery = (query: string) => string;

export function createNormalQuery({ ignoreQuery, sortQuery }: KeyPolicy): NormalQuery {
  const ignored = new Set(ignoreQuery);
  if (ignored.size === 0 && !sortQuery) return (query) => query;
  return (query) => (query === "" ? query : normaliseQuery(query, ignored, sortQuery));
}

export type KeyOf = (exchange: Exchange, seen: CacheRequest) => Key;

/**
 * @param behind text that describes everything else on the route that shapes answers
 * @returns a function that makes the key of an exchange, for one route's policy
 */
export function createKeyOf(policy: KeyPolicy, behind: string): KeyOf {
  const normal = createNormalQuery(policy);
  const ofPolicy = policyPart(policy, behind);
  return (exchange, seen) => {
    const { path, query, fields } = exchange.request;
    const url = urlKey(exchange, path, normal(query));
    let shared = ofPolicy + seen.keyedFields;
    for (const member of policy.vary) shared += `\n${varyPart(member, fields, exchange.identity)}`;
    // Some plugins behind this one run only for some requests, and may change their answers.
    const { identity, variant = "" } = exchange;
    if (variant !== "") shared += `\n${variant}`;
    return {
      url,
      hash: hashText(url),
      shared,
      own: identity === undefined ? shared : `${identityKey(identity)}${furtherKey(seen)}${shared}`,
    };
  };
}

const policyPartLength = 22;

/**
 * The part of every partition that stands for the policy, so that one policy never finds entries stored under another.
 * At least 128 bits, so that two are never equal by chance.
 */
function policyPart({ scope, vary, ignoreQuery, sortQuery }: KeyPolicy, behind: string): string {
  const facts = JSON.stringify([behind, scope, vary, ignoreQuery, sortQuery]);
  return hash("sha256", facts, "base64url").slice(0, policyPartLength);
}

/** Whether a partition is everybody's: it holds the policy part alone, and nothing of the caller or the request. */
export function isEverybodys(partition: string): boolean {
  return partition.length <= policyPartLength;
}

/**
 * Removes the ignored parameters and sorts the rest if asked. A query with `;` stays as it is: some services split at
 * `;`, so ignoring `a` in `a=1;id=2` would hide an `id` (parameter cloaking).
 */
function normaliseQuery(query: string, ignored: ReadonlySet<string>, sort: boolean): string {
  if (query.includes(";")) return query;
  const kept = query
    .slice(1)
    .split("&")
    .filter((part) => !ignored.has(parameterName(part)));
  // Sorted by name alone: the order of equal names may mean something to the service.
  if (sort) kept.sort((a, b) => compare(parameterName(a), parameterName(b)));
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}

function parameterName(part: string): string {
  const equals = part.indexOf("=");
  return equals === -1 ? part : part.slice(0, equals);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** One member of `vary` as key text. An identified caller without the claim shares answers with nobody. */
function varyPart(member: string, fields: Fields, identity: Identity | undefined): string {
  if (!member.startsWith("claim:")) return selectingValue(member, fields);
  if (identity === undefined) return "-";
  const claim = claimText(identity.claims, member.slice(6));
  if (claim === undefined) return identityKey(identity);
  // The same value from another issuer is another value: each issuer chooses its claims freely.
  return identity.issuer === undefined ? claim : `${JSON.stringify(identity.issuer)}:${claim}`;
}

/** Digest of the other credentials that the service sees: it may tell apart two requests with the same identity key. */
function furtherKey({ credentials }: CacheRequest): string {
  return credentials === "" ? "" : `+${hash("sha256", credentials, "base64url")}`;
}

// The auth plugin hands out one Identity object per verified credential, so each key is computed once.
const identityKeys = new WeakMap<Identity, string>();

/** Claims that differ from token to token and say nothing about what the caller may see. */
const volatileClaims = new Set(["iat", "exp", "nbf", "jti", "auth_time", "at_hash", "nonce", "sid"]);

/** Digest of everything about a caller that the service's answer may depend on. */
function identityKey(identity: Identity): string {
  let key = identityKeys.get(identity);
  if (key === undefined) {
    const claims = Object.entries(identity.claims)
      .filter(([name]) => !volatileClaims.has(name))
      .sort(([a], [b]) => compare(a, b));
    const { method, issuer, credentialId, userId, plan, scopes, roles } = identity;
    const who = [method, issuer ?? "", credentialId ?? "", userId, plan ?? ""];
    const facts = JSON.stringify([who, scopes, roles, claims]);
    key = `u:${hash("sha256", facts, "base64url")}`;
    identityKeys.set(identity, key);
  }
  return key;
}
