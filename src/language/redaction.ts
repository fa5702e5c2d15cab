// Redacts requests that are shown to people: it removes values under names by which secrets commonly travel.
import { fieldKey } from "./field-name.ts";
import { credentialFields } from "./field-sets.ts";

export const redacted = "[redacted]";

/**
 * Proofs and signatures (RFC 9449, RFC 9421) are secret as well: those of a request that was not served stay valid
 * until they are too old.
 */
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
 * Collects the names of fields and parameters that must never show, in lower case and in lookup form.
 * @param more names that the policy adds, by this plugin's options or as credentials of callers
 */
export function secretNames(more: Iterable<string>): ReadonlySet<string> {
  return new Set([...secretFields, ...[...more].flatMap((name) => [name.toLowerCase(), fieldKey(name)])]);
}

/** Fields that hold URLs, whose queries and fragments have parameters. */
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
 * How the names of other secrets end, once reduced to letters and digits: `reset_token`, `user[password]`, `PHPSESSID`.
 */
const secretEnd =
  /(?:token|secret|password|passwd|passphrase|pwd|otp|jwt|assertion|signature|credentials?|sess(?:ion)?id|samlresponse|(?:api|access|private)key)$/;

/**
 * Separators between names and values. They may also be encoded, several times over, inside the value of another
 * parameter.
 */
const separators = /[?&;=#]|%(?:25)*(?:3[fbd]|26|23)/gi;
const isEquals = (separator: string): boolean => /(?:=|3d)$/i.test(separator);
const endsValue = (separator: string): boolean => /(?:[&;]|26|3b)$/i.test(separator);

/**
 * Compiles the redaction of a query (with its `?`), or of a text with URLs. A name that cannot be decoded counts as
 * secret. The value of a parameter that is not secret may be a URL with a query of its own.
 * @param sounds pattern of further secret names, in lower case
 */
export function compileQueryRedaction(
  secrets: ReadonlySet<string>,
  sounds?: RegExp,
): (query: string) => string {
  const all = new Set([...secrets, ...secretParameters]);
  const isSecret = (written: string): boolean => {
    const name = decoded(written)?.trim().toLowerCase();
    if (name === undefined || all.has(name) || sounds?.test(name) === true) return true;
    return secretEnd.test(name.replace(/[^a-z0-9]+/g, ""));
  };
  return (query) => {
    let shown = "";
    let from = 0;
    let nameFrom = 0;
    /** The equals sign before the current secret; undefined = not inside a secret. */
    let equals: string | undefined;
    for (const { 0: separator, index } of query.matchAll(separators)) {
      const end = index + separator.length;
      // A value ends at the next separator of its own level: inside another value, at one that is encoded as often as
      // its equals sign.
      if (equals !== undefined) {
        if (!endsValue(separator) || separator.length > equals.length) continue;
        equals = undefined;
        from = index;
      } else if (isEquals(separator) && isSecret(query.slice(nameFrom, index))) {
        shown += query.slice(from, end) + redacted;
        equals = separator;
        from = query.length;
      }
      nameFrom = end;
    }
    return from === 0 ? query : shown + query.slice(from);
  };
}

/** @returns undefined when the text cannot be decoded */
function decoded(written: string): string | undefined {
  try {
    let name = written.replaceAll("+", " ");
    for (let times = 0; times < 3 && name.includes("%"); times += 1) name = decodeURIComponent(name);
    return name;
  } catch {
    return undefined;
  }
}
