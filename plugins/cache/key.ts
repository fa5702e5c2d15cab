// Keys: which URL a request asks for, and for whom. Only what is in a key may make answers differ.
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
  /** Partition of the answers for everybody: the policy's alone unless keyed fields, its `vary` or its flags tell requests apart. */
  readonly shared: string;
  /** The caller's own partition; equal to `shared` when nobody was identified. */
  readonly own: string;
}

/** The part of the policy that makes keys. */
export type KeyPolicy = Pick<CacheOptions, "ignoreQuery" | "sortQuery" | "vary" | "scope">;

/** `<upstream> <scheme>://<host><path><query>`: a blank cannot be in any part but a socket's path. */
export function urlKey(exchange: Exchange, path: string, query: string): string {
  const { scheme, host } = exchange.request;
  return `${exchange.route.upstream} ${scheme}://${host}${path}${query}`;
}

/** The upstream in a URL key. */
export function upstreamOf(url: string): string {
  return url.slice(0, url.lastIndexOf(" ", url.indexOf("://")));
}

/** Path and query of a URL key, for purges. */
export function targetOf(url: string): { host: string; path: string } {
  const address = url.slice(url.indexOf("://") + 3);
  const slash = address.indexOf("/");
  return slash === -1
    ? { host: address, path: "" }
    : { host: address.slice(0, slash), path: address.slice(slash) };
}

/** A query (with its `?`) as it is in a key. */
export type NormalQuery = (query: string) => string;

export function createNormalQuery({ ignoreQuery, sortQuery }: KeyPolicy): NormalQuery {
  const ignored = new Set(ignoreQuery);
  if (ignored.size === 0 && !sortQuery) return (query) => query;
  return (query) => (query === "" ? query : normaliseQuery(query, ignored, sortQuery));
}

export type KeyOf = (exchange: Exchange, seen: CacheRequest) => Key;

/**
 * @param behind what else on the route makes answers what they are
 * @returns makes the key of an exchange, for one route's policy
 */
export function createKeyOf(policy: KeyPolicy, behind: string): KeyOf {
  const normal = createNormalQuery(policy);
  const ofPolicy = policyPart(policy, behind);
  return (exchange, seen) => {
    const { path, query, fields } = exchange.request;
    const url = urlKey(exchange, path, normal(query));
    let shared = ofPolicy + seen.keyedFields;
    for (const member of policy.vary) shared += `\n${varyPart(member, fields, exchange.identity)}`;
    // Plugins behind this one that run for some leave other answers to them.
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
 * What every partition begins with: under another policy nothing is found of what this one made, or gave to somebody.
 * 128 bits, so that two are never equal by chance.
 */
function policyPart({ scope, vary, ignoreQuery, sortQuery }: KeyPolicy, behind: string): string {
  const facts = JSON.stringify([behind, scope, vary, ignoreQuery, sortQuery]);
  return hash("sha256", facts, "base64url").slice(0, policyPartLength);
}

/** Whether a partition is that of everybody, and nothing but the policy is in it. */
export function isEverybodys(partition: string): boolean {
  return partition.length <= policyPartLength;
}

/**
 * A query without the ignored parameters, sorted if asked. One that holds `;` is left as it is: some services split
 * there, and an ignored `a=1;id=2` would hide an `id` (parameter cloaking).
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

/** A caller without the claim has only its own answers: two of them have nothing in common by that. */
function varyPart(member: string, fields: Fields, identity: Identity | undefined): string {
  if (!member.startsWith("claim:")) return selectingValue(member, fields);
  if (identity === undefined) return "-";
  const claim = claimText(identity.claims, member.slice(6));
  if (claim === undefined) return identityKey(identity);
  // The "acme" of one issuer is not that of another: whoever runs an issuer says what it likes.
  return identity.issuer === undefined ? claim : `${JSON.stringify(identity.issuer)}:${claim}`;
}

/** What else the service is shown beside the identity: who shares a key may still be two to it. */
function furtherKey({ credentials }: CacheRequest): string {
  return credentials === "" ? "" : `+${hash("sha256", credentials, "base64url")}`;
}

// The auth plugin hands out one object per verified credential, so that this is computed once for it.
const identityKeys = new WeakMap<Identity, string>();

/** Claims that differ from token to token and say nothing about what the caller may see. */
const volatileClaims = new Set(["iat", "exp", "nbf", "jti", "auth_time", "at_hash", "nonce", "sid"]);

/** Everything about a caller that the service's answer may depend on, as one digest. */
function identityKey(identity: Identity): string {
  let key = identityKeys.get(identity);
  if (key === undefined) {
    const claims = Object.entries(identity.claims)
      .filter(([name]) => !volatileClaims.has(name))
      .sort(([a], [b]) => compare(a, b));
    const { method, credentialId, userId, plan, scopes, roles } = identity;
    const facts = JSON.stringify([method, credentialId ?? "", userId, plan ?? "", scopes, roles, claims]);
    key = `u:${hash("sha256", facts, "base64url")}`;
    identityKeys.set(identity, key);
  }
  return key;
}
