// Names of fields in the form in which they are looked up, remembered. Messages come with the same few names again and
// again, but as new strings each time: lower-casing those, and looking them up in a Set (V8 then searches its table of all
// names for them), was two thirds of what reading a head cost.
import { fieldKey, isToken } from "../language/field-name.ts";

export interface FieldName {
  readonly name: string;
  /** Lower case, `-` for `_`. */
  readonly lower: string;
  /** Whether it was written with `_`. */
  readonly underscored: boolean;
  /** How its line begins behind another; undefined = it is no token, and cannot be sent (RFC 9110 section 5.1). */
  readonly start: string | undefined;
}

/** One that was seen. */
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
 * A property's name is unique in V8: it compares by its address, its hash is known, and it is no part of a head. It is one
 * of a table: any other object would leave V8 a shape for each name, dear to make and to collect where names are a flood.
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

/** Four characters and the length, by factors with which none of a hundred common names share a place. */
function placeOf(name: string, length: number): number {
  const sum =
    name.charCodeAt(0) * 27 +
    name.charCodeAt(length >> 1) * 329 +
    name.charCodeAt((length * 3) >> 2) * 161 +
    name.charCodeAt(length - 1) * 71 +
    length * 141;
  return sum & (places - 1);
}

/** @returns the name as it is written and as it is looked up: the same two strings each time where the name is a common one */
export function knownName(name: string): FieldName {
  const { length } = name;
  if (length === 0 || length > longest) {
    return { name, lower: fieldKey(name), underscored: name.includes("_"), start: startOf(name) };
  }
  const place = placeOf(name, length);
  const entry = known[place];
  if (entry?.name === name) return entry;
  // Two names of one place would else drive each other out for ever.
  const other = known[place ^ 1];
  if (other?.name === name) return other;
  known[place ^ 1] = entry;
  return (known[place] = new Known(name));
}
