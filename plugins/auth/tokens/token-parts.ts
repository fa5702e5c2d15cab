// Splits a compact JWS and parses its JSON strictly, before any signature is verified.
import { isUtf8 } from "node:buffer";
import { LRUCache } from "lru-cache";
import { hasDoubledMember } from "../../../src/language/doubled-members.ts";
import { withExactIntegers } from "../../../src/language/exact-integers.ts";
import { parseJson } from "../../../src/language/json.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface TokenParts {
  readonly header: JsonObject;
  readonly claims: JsonObject;
}

const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * @returns undefined for anything that is not an object in UTF-8 or is nested too deeply; "doubled" for an object that
 * names a member twice (RFC 8725 section 2.4, RFC 7519 section 4)
 */
function parseObject(part: string): JsonObject | "doubled" | undefined {
  const bytes = Buffer.from(part, "base64url");
  if (!isUtf8(bytes)) return undefined;
  const json = bytes.toString("utf8");
  let value: unknown;
  try {
    value = parseJson(json);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  return hasDoubledMember(json, value) ? "doubled" : (withExactIntegers(json, value) as JsonObject);
}

// Tokens of one issuer have the same header, character for character.
const headers = new LRUCache<string, JsonObject>({ max: 256 });

function parseHeader(part: string): ReturnType<typeof parseObject> {
  const known = headers.get(part);
  if (known !== undefined) return known;
  const header = parseObject(part);
  if (isJsonObject(header)) headers.set(part, header);
  return header;
}

/**
 * @returns header and claims, unverified; "opaque" for a token whose form or header is not a JWT's; "unreadable" for a
 * JWT whose JSON cannot be relied on
 */
export function decodeToken(token: string): TokenParts | "opaque" | "unreadable" {
  if (!compact.test(token)) return "opaque";
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  const header = parseHeader(token.slice(0, first));
  // Two dots do not make a JWT: a JOSE header is an object that names the algorithm (RFC 7515 section 4.1.1).
  if (header === undefined || (header !== "doubled" && typeof header["alg"] !== "string")) return "opaque";
  const claims = parseObject(token.slice(first + 1, second));
  return isJsonObject(header) && isJsonObject(claims) ? { header, claims } : "unreadable";
}
