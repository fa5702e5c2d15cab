// Takes a compact JWS apart and reads its JSON strictly, before any signature is looked at.
import { isUtf8 } from "node:buffer";

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

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;

/** Members named in valid JSON text, at every depth: each is one colon outside a string. */
function membersNamed(json: string): number {
  let colons = 0;
  let inString = false;
  for (let i = 0; i < json.length; i += 1) {
    const code = json.charCodeAt(i);
    if (code === quote) inString = !inString;
    else if (inString) {
      if (code === backslash) i += 1;
    } else if (code === colon) colons += 1;
  }
  return colons;
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

/** @returns header and claims as they stand, unverified; undefined when they are not JSON objects to rely on */
export function decodeToken(token: string): TokenParts | undefined {
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  const header = parseObject(token.slice(0, first));
  if (header === undefined) return undefined;
  const claims = parseObject(token.slice(first + 1, second));
  return claims === undefined ? undefined : { header, claims };
}
