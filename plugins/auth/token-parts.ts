// Takes a compact JWS apart and reads its JSON strictly, before any signature is looked at.
import { isUtf8 } from "node:buffer";
import { LRUCache } from "lru-cache";
import { parseJson } from "../../src/language/json.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface TokenParts {
  readonly header: JsonObject;
  readonly claims: JsonObject;
}

const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

const backslash = 0x5c;
const colon = 0x3a;

/** Members named in valid JSON text, at every depth: each is one colon outside a string. */
function membersNamed(json: string): number {
  let colons = 0;
  for (let at = 0; ;) {
    const opening = json.indexOf('"', at);
    const end = opening === -1 ? json.length : opening;
    for (; at < end; at += 1) if (json.charCodeAt(at) === colon) colons += 1;
    if (opening === -1) return colons;
    at = endOfString(json, opening);
  }
}

/** @returns where the text goes on after the string that begins at `opening` */
function endOfString(json: string, opening: number): number {
  for (let closing = json.indexOf('"', opening + 1); ; closing = json.indexOf('"', closing + 1)) {
    let before = closing - 1;
    while (json.charCodeAt(before) === backslash) before -= 1;
    // An even number of backslashes escape each other and not the quote.
    if ((closing - before) % 2 === 1) return closing + 1;
  }
}

/** Recurses: depth was bounded when the value was read. */
function membersKept(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += membersKept(item);
    return count;
  }
  for (const item of Object.values(value)) count += 1 + membersKept(item);
  return count;
}

/** @returns undefined for what is no object in UTF-8 or is nested too deeply; "doubled" for one that names a member twice (RFC 8725 section 2.4, RFC 7519 section 4) */
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
  return membersNamed(json) === membersKept(value) ? value : "doubled";
}

// Tokens of one issuer share their header to the letter.
const headers = new LRUCache<string, JsonObject>({ max: 256 });

function parseHeader(part: string): ReturnType<typeof parseObject> {
  const known = headers.get(part);
  if (known !== undefined) return known;
  const header = parseObject(part);
  if (isJsonObject(header)) headers.set(part, header);
  return header;
}

/**
 * @returns header and claims as they stand, unverified; "opaque" for what is no JWT by its form or its header;
 * "unreadable" for a JWT whose JSON is not to be relied on
 */
export function decodeToken(token: string): TokenParts | "opaque" | "unreadable" {
  if (!compact.test(token)) return "opaque";
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  const header = parseHeader(token.slice(0, first));
  // Two dots make no JWT: a JOSE header is an object that names the algorithm (RFC 7515 section 4.1.1).
  if (header === undefined || (header !== "doubled" && typeof header["alg"] !== "string")) return "opaque";
  const claims = parseObject(token.slice(first + 1, second));
  return isJsonObject(header) && isJsonObject(claims) ? { header, claims } : "unreadable";
}
