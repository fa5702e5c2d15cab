// Names under which secrets commonly travel, for whatever shows requests to people.
import { fieldKey } from "./field-name.ts";
import { credentialFields } from "./field-sets.ts";

export const redacted = "[redacted]";

const secretFields = [...credentialFields, "proxy-authorization", "cookie", "set-cookie"];

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

/** Compiles the redaction of a query (with its `?`). A name that cannot be decoded counts as secret. */
export function compileQueryRedaction(secrets: ReadonlySet<string>): (query: string) => string {
  const all = new Set([...secrets, ...secretParameters]);
  const isSecret = (name: string): boolean => {
    try {
      return all.has(decodeURIComponent(name.replaceAll("+", " ")).trim().toLowerCase());
    } catch {
      return true;
    }
  };
  return (query) =>
    // From the start of a name alone: trying every letter of a long one would take the square of its length.
    query.replace(/(?<![^?&;=])([^?&;=]*)=([^&;]*)/g, (pair, name: string) =>
      isSecret(name) ? `${name}=${redacted}` : pair,
    );
}
