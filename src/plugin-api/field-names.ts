// Caches field names in the form in which they are looked up. Messages carry the same few names again and again, but as
// new strings each time. Lower-casing those, and looking them up in a Set (V8 then searches its table of all names for
// them), was two thirds of the cost of reading a head.
import { fieldKey, isToken } from "../language/field-name.ts";

export interface FieldName {
  readonly name: string;
  /** Lower case, `-` for `_`. */
  readonly lower: string;
  /** Whether it was written with `_`. */
  readonly underscored: boolean;
  /**
   * Start of the field's line after a previous line (CRLF, name, colon); undefined = the name is no token and cannot be
   * sent (RFC 9110 section 5.1).
   */
  readonly start: string | undefined;
}

/** A cached name. */
class Known implements FieldName {
  readonly name: string;
  readonly lower: string;
  readonly underscored: boolean;
  readonly start: string | undefined;

  constructor(name: string) {
    this.name = unique(name);
    this.lower = unique(fieldKey(name));
    this.underscored = name.includes("_");
    const start = startOf(name);
    this.start = start === undefined ? undefined : unique(start);
  }
}

/**
 * Returns V8's unique copy of a string, which it makes for the name of a property. A unique string compares by address,
 * has its hash computed, and keeps no head alive. The object is a dictionary (no prototype): any other object would
 * leave V8 a hidden class for each name, which is costly to make and to collect when many names arrive.
 */
function unique(text: string): string {
  const named = Object.create(null) as Record<string, number>;
  named[text] = 0;
  return Object.keys(named)[0] as string;
}

const startOf = (name: string): string | undefined => (isToken(name) ? `\r\n${name}: ` : undefined);

const places = 1_024;
const longest = 64;
const known = Array.from<Known | undefined>({ length: places });

/** Hashes four characters and the length. With these factors, none of a hundred common names share a place. */
function placeOf(name: string, length: number): number {
  const sum =
    name.charCodeAt(0) * 27 +
    name.charCodeAt(length >> 1) * 329 +
    name.charCodeAt((length * 3) >> 2) * 161 +
    name.charCodeAt(length - 1) * 71 +
    length * 141;
  return sum & (places - 1);
}

/** @returns the name as written and as looked up. For a common name, these are the same two strings each time */
export function knownName(name: string): FieldName {
  const { length } = name;
  if (length === 0 || length > longest) {
    return { name, lower: fieldKey(name), underscored: name.includes("_"), start: startOf(name) };
  }
  const place = placeOf(name, length);
  const entry = known[place];
  if (entry?.name === name) return entry;
  // Each name has a second place: two names with the same hash would otherwise evict each other all the time.
  const other = known[place ^ 1];
  if (other?.name === name) return other;
  known[place ^ 1] = entry;
  return (known[place] = new Known(name));
}
