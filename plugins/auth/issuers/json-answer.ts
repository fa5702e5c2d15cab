// Parses JSON from authorization servers in the form they really send it: some put a byte order mark in front.
import { hasDoubledMember } from "../../../src/language/doubled-members.ts";
import { withExactIntegers } from "../../../src/language/exact-integers.ts";
import { parseJson } from "../../../src/language/json.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * @returns undefined for anything that is not JSON in UTF-8, is nested too deeply, or names a member twice: in
 * `{"active":false,"active":true}` the last would count. A byte order mark may be ignored (RFC 8259 section 8.1).
 */
export function parseJsonAnswer(body: Uint8Array): unknown {
  try {
    const json = decoder.decode(body);
    const value = parseJson(json);
    return hasDoubledMember(json, value) ? undefined : withExactIntegers(json, value);
  } catch {
    return undefined;
  }
}

/** @returns a number also for one that is written as a text: Microsoft's tenants answer `"expires_in": "3599"` */
export function numberOf(value: unknown): unknown {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
}

/** @returns an authorization server's error code (RFC 6749 section 5.2), if short and plain enough for a log line */
export function errorCodeOf(value: unknown): string | undefined {
  const { error } = Object(value) as { error?: unknown };
  return typeof error === "string" && /^[a-z0-9_.-]{1,64}$/i.test(error) ? error : undefined;
}
