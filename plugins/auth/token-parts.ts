// Takes a compact JWS apart and reads its JSON strictly, before any signature is looked at.
import { isUtf8 } from "node:buffer";
import { LRUCache } from "lru-cache";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface TokenParts {
  readonly header: JsonObject;
  readonly claims: JsonObject;
}

const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Three parts of base64url, the signature among them: what a JWT looks like. */
export function looksLikeJwt(token: string): boolean {
  return compact.test(token);
}

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

/** @returns undefined for what is not an object in UTF-8, or names a member twice (RFC 8725 section 2.4, RFC 7519 section 4) */
function parseObject(part: string): JsonObject | undefined {
  const bytes = Buffer.from(part, "base64url");
  if (!isUtf8(bytes)) return undefined;
  const json = bytes.toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return membersNamed(json) === membersKept(value) ? (value as JsonObject) : undefined;
}

// Tokens of one issuer share their header to the letter.
const headers = new LRUCache<string, JsonObject>({ max: 256 });

function parseHeader(part: string): JsonObject | undefined {
  let header = headers.get(part);
  if (header === undefined) {
    header = parseObject(part);
    if (header !== undefined) headers.set(part, header);
  }
  return header;
}

/** @returns header and claims as they stand, unverified; undefined when they are not JSON objects to rely on */
export function decodeToken(token: string): TokenParts | undefined {
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  const header = parseHeader(token.slice(0, first));
  if (header === undefined) return undefined;
  const claims = parseObject(token.slice(first + 1, second));
  return claims === undefined ? undefined : { header, claims };
}
