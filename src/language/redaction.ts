// What is taken out of requests that are shown to people: values under names by which secrets commonly travel.
import { fieldKey } from "./field-name.ts";
import { credentialFields } from "./field-sets.ts";

export const redacted = "[redacted]";

/** Proofs and signatures (RFC 9449, RFC 9421) of a request that was not served are good until they are too old. */
const secretFields = [
  ...credentialFields,
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "dpop",
  "signature",
];

/** Parameters that carry credentials in OAuth 2.0 (RFC 6749, 6750, 7523), signed URLs and common practice. */
const secretParameters = [
  "access_token",
  "api_key",
  "api-key",
  "apikey",
  "assertion",
  "auth",
  "authorization",
  "client_assertion",
  "client_secret",
  "code",
  "code_verifier",
  "id_token",
  "jwt",
  "key",
  "passwd",
  "password",
  "refresh_token",
  "secret",
  "session",
  "sig",
  "signature",
  "token",
  "x-amz-credential",
  "x-amz-security-token",
  "x-amz-signature",
  "x-goog-signature",
];

/**
 * The names of fields and parameters (lower case, and as fields are looked up) that may never show.
 * @param more those that the policy adds, by this plugin's options or as credentials of callers
 */
export function secretNames(more: Iterable<string>): ReadonlySet<string> {
  return new Set([...secretFields, ...[...more].flatMap((name) => [name.toLowerCase(), fieldKey(name)])]);
}

/** Fields with URLs, whose queries and fragments have parameters. */
export const urlFields: ReadonlySet<string> = new Set([
  "content-location",
  "link",
  "location",
  "referer",
  "refresh",
  "x-accel-redirect",
  "x-forwarded-uri",
  "x-original-uri",
  "x-original-url",
  "x-rewrite-url",
]);

/**
 * Compiles the redaction of a query (with its `?`), or of a text with URLs. A name that cannot be decoded counts as secret.
 * The value of another one may be a URL with a query of its own.
 */
export function compileQueryRedaction(secrets: ReadonlySet<string>): (query: string) => string {
  const all = new Set([...secrets, ...secretParameters]);
  const isSecret = (name: string): boolean => {
    try {
      return all.has(decodeURIComponent(name.replaceAll("+", " ")).trim().toLowerCase());
    } catch {
      return true;
    }
  };
  return (query) => {
    let shown = "";
    let from = 0;
    // From the start of a name alone: trying every letter of a long one would take the square of its length.
    for (const { 0: match, 1: name, index } of query.matchAll(/(?<![^?&;=#])([^?&;=#]*)=/g)) {
      if (index < from || !isSecret(name as string)) continue;
      const value = index + match.length;
      shown += query.slice(from, value) + redacted;
      from = endOfValue(query, value);
    }
    return from === 0 ? query : shown + query.slice(from);
  };
}

function endOfValue(query: string, from: number): number {
  for (let at = from; at < query.length; at += 1) if (query[at] === "&" || query[at] === ";") return at;
  return query.length;
}
