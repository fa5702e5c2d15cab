// Reads the credentials of a request: API key and bearer token, strictly, and at most one of each.
import { tokenCharacter } from "../../src/language/field-name.ts";
import type { ExchangeRequest } from "../../src/plugin-api/contract.ts";
import { queryValues, shownElsewhere, shownInCookies, type TokenSources } from "./tokens/token-sources.ts";

export interface Credentials {
  /** As sent: visible ASCII without blanks, at most `maxKeyLength` characters. */
  readonly apiKey: string | undefined;
  /** As sent and unchecked: if its digest is in a cache, it needs no further check. */
  readonly bearer: string | undefined;
  /** Why the credentials must not be used at all. */
  readonly malformed: string | undefined;
}

export interface CredentialOptions {
  /** Names of fields that carry a key, in lower case. */
  readonly keyHeaders: readonly string[];
  readonly keyQuery: readonly string[];
  /** Whether keys stay in the query for the service. Otherwise the sidecar has taken them out of it. */
  readonly keysStay: boolean;
  readonly takesKeys: boolean;
  readonly tokenSources: TokenSources;
  /** Whether tokens with a DPoP proof are accepted (RFC 9449). */
  readonly takesProofs: boolean;
  /** Whether request signatures identify callers (RFC 9421). */
  readonly takesSignatures: boolean;
  /** Whether auth handles `Basic` (RFC 7617). */
  readonly takesBasic: boolean;
}

type Schemes = Pick<CredentialOptions, "takesProofs" | "takesBasic">;
const withProofs: Schemes = { takesProofs: true, takesBasic: false };

const maxKeyLength = 512;
const none: Credentials = { apiKey: undefined, bearer: undefined, malformed: undefined };
const bad = (malformed: string): Credentials => ({ apiKey: undefined, bearer: undefined, malformed });

// Two lines of one field arrive joined by ", ". The blank in it makes this pattern refuse them.
const visible = /^[\x21-\x7e]+$/;

/** Patterns for the schemes that auth handles. All others are the service's own. */
const schemes = (names: string) => ({
  /** The name of such a scheme anywhere in the value: at the start, in a list, in quotes. */
  anywhere: new RegExp(`(?<!${tokenCharacter})["']?(?:${names})(?!${tokenCharacter})`, "i"),
  /** RFC 9110 section 11.4, with tabs for blanks. */
  alone: new RegExp(`^(${names})(?:[ \\t]+(.*))?$`, "i"),
});
/** By whether DPoP proofs and passwords are accepted. */
const ourSchemes = {
  neither: schemes("bearer|apikey"),
  proofs: schemes("bearer|apikey|dpop"),
  basic: schemes("bearer|apikey|basic"),
  both: schemes("bearer|apikey|dpop|basic"),
};

interface Shown {
  readonly scheme: "bearer" | "apikey" | "dpop" | "basic" | "malformed";
  readonly credential: string;
}
const malformedShown: Shown = { scheme: "malformed", credential: "" };

/**
 * Reads a credential for auth from `Authorization`. A service may parse it more leniently, so a value that it could
 * read as one of these schemes is either accepted here or malformed.
 * @returns undefined = another scheme
 */
function readAuthorization(value: string, { takesProofs, takesBasic }: Schemes): Shown | undefined {
  // The form in which nearly every client writes it.
  if (value.startsWith("Bearer ")) return { scheme: "bearer", credential: value.slice(7).trim() };
  const ours = ourSchemes[takesProofs ? (takesBasic ? "both" : "proofs") : takesBasic ? "basic" : "neither"];
  if (!ours.anywhere.test(value)) return undefined;
  const [, scheme, credential = ""] = ours.alone.exec(value) ?? [];
  if (scheme === undefined) return malformedShown;
  return { scheme: scheme.toLowerCase() as Shown["scheme"], credential: credential.trim() };
}

/** @returns the token of `Authorization: DPoP`, on a route that accepts proofs */
export function shownWithProof({ fields }: ExchangeRequest): string | undefined {
  const shown = readAuthorization(fields.get("authorization") ?? "", withProofs);
  return shown?.scheme === "dpop" ? shown.credential : undefined;
}

function keysInQuery(request: ExchangeRequest, { keyQuery, keysStay }: CredentialOptions): string[] {
  const query = keysStay ? request.query.slice(1) : (request.ownedQuery ?? "");
  return query === "" ? [] : keyQuery.flatMap((name) => queryValues(query, name));
}

/** Reads the credentials of a request. Never throws. */
export function readCredentials(request: ExchangeRequest, options: CredentialOptions): Credentials {
  const { fields } = request;
  let apiKey: string | undefined;
  let keys = 0;
  for (const header of options.keyHeaders) {
    const value = fields.get(header);
    if (value === undefined) continue;
    [apiKey, keys] = [value, keys + 1];
  }
  if (options.keyQuery.length > 0) {
    const shown = keysInQuery(request, options);
    keys += shown.length;
    apiKey = shown.at(-1) ?? apiKey;
  }
  let bearer: string | undefined;
  const authorization = fields.get("authorization");
  if (authorization !== undefined) {
    const presented = readAuthorization(authorization, options);
    if (presented?.scheme === "malformed") return bad("malformed Authorization");
    if (presented?.scheme === "bearer" || presented?.scheme === "dpop") {
      if (!options.tokenSources.header) return bad("no bearer token is taken in Authorization");
      bearer = presented.credential;
    } else if (presented?.scheme === "apikey" && options.takesKeys) {
      apiKey = presented.credential;
      keys += 1;
    } else if (fields.getAll("authorization").length > 1) {
      return bad("several Authorization fields");
    }
  }
  if (request.ownedQuery !== undefined || request.ownedSubprotocols !== undefined) {
    const elsewhere = shownElsewhere(request, options.tokenSources);
    // RFC 6750 section 2: a request may show its token in one way only.
    if (elsewhere.length > (bearer === undefined ? 1 : 0)) return bad("several bearer tokens");
    bearer ??= elsewhere[0];
  }
  if (bearer === undefined && options.tokenSources.cookies.length > 0) {
    const inCookies = shownInCookies(request, options.tokenSources);
    if (inCookies === "unclear" || inCookies.length > 1) return bad("several token cookies, or a comma");
    [bearer] = inCookies;
  }
  if (keys > 1) return bad("several API keys");
  if (apiKey !== undefined && (apiKey.length > maxKeyLength || !visible.test(apiKey)))
    return bad("malformed API key");
  if (apiKey === undefined && bearer === undefined) return none;
  return { apiKey, bearer, malformed: undefined };
}

/** Whether the browser sent the token that `readCredentials` found by itself, as it does with cookies. */
export function isTokenAmbient(request: ExchangeRequest, options: CredentialOptions): boolean {
  const scheme = readAuthorization(request.fields.get("authorization") ?? "", options)?.scheme;
  if (scheme === "bearer" || scheme === "dpop") return false;
  return shownElsewhere(request, options.tokenSources).length === 0;
}

/** Removes the credentials from the request to the service. Schemes that auth does not handle stay. */
export function removeCredentials(request: ExchangeRequest, options: CredentialOptions): void {
  const { fields } = request;
  for (const header of options.keyHeaders) if (fields.has(header)) fields.delete(header);
  const authorization = fields.get("authorization");
  if (authorization !== undefined && readAuthorization(authorization, options) !== undefined)
    fields.delete("authorization");
  if (options.takesProofs) fields.delete("dpop");
  if (options.takesSignatures) {
    fields.delete("signature");
    fields.delete("signature-input");
  }
}
