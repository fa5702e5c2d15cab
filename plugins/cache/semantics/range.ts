// Selects a byte range of a complete stored response (RFC 9110 section 14). A request for several gets the whole body.
import { sizeOf } from "../store/body-copy.ts";
import type { Entry } from "../store/entry.ts";

/** A range that can be served; "unsatisfiable" = answer 416; undefined = answer with the whole body. */
export type RangeResult = { readonly start: number; readonly end: number } | "unsatisfiable" | undefined;

/**
 * @param range value of the Range field
 * @param ifRange value of If-Range: the range counts only if it names exactly this response
 * @returns positions of the first and the last byte, both included
 */
export function selectRange(entry: Entry, range: string, ifRange: string | undefined): RangeResult {
  if (entry.status !== 200) return undefined;
  if (ifRange !== undefined && !isSame(entry, ifRange)) return undefined;
  const match = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/i.exec(range.replaceAll(/[ \t]/g, ""));
  if (match === null) return undefined;
  const size = sizeOf(entry.body);
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    const length = Number(suffix);
    if (length === 0 || size === 0) return "unsatisfiable";
    return { start: Math.max(0, size - length), end: size - 1 };
  }
  const start = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end };
}

// Strong comparison for a tag, exact match for a date (RFC 9110 section 13.1.5).
function isSame(entry: Entry, ifRange: string): boolean {
  if (ifRange.startsWith('"')) return ifRange === entry.etag;
  return !ifRange.startsWith("W/") && ifRange === entry.lastModified;
}
