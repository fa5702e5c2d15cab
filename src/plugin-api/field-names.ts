// Names of fields in the form in which they are looked up, remembered. Messages come with the same few names again and
// again, but as new strings each time: lower-casing those, and looking them up in a Set (V8 then searches its table of all
// names for them), was two thirds of what reading a head cost.
import { fieldKey } from "../language/field-name.ts";

export interface FieldName {
  readonly name: string;
  /** Lower case, `-` for `_`. */
  readonly lower: string;
  /** Whether it was written with `_`. */
  readonly underscored: boolean;
}

/** One that was seen. */
class Known implements FieldName {
  readonly name: string;
  readonly lower: string;
  readonly underscored: boolean;

  constructor(name: string) {
    // A property's name is unique in V8: it compares by its address, its hash is known, and it is no part of a head.
    this.name = Object.keys({ [name]: 0 })[0] as string;
    this.lower = Object.keys({ [fieldKey(name)]: 0 })[0] as string;
    this.underscored = name.includes("_");
  }
}

const places = 1_024;
const longest = 64;
// One name a place: the next that falls there takes it.
const known = Array.from<Known | undefined>({ length: places });

/** @returns the name as it is written and as it is looked up: the same two strings each time where the name is a common one */
export function knownName(name: string): FieldName {
  const { length } = name;
  if (length === 0 || length > longest) {
    return { name, lower: fieldKey(name), underscored: name.includes("_") };
  }
  const place =
    (name.charCodeAt(0) * 31 +
      name.charCodeAt(length >> 1) * 7 +
      name.charCodeAt(length - 1) * 3 +
      length * 17) &
    (places - 1);
  let entry = known[place];
  if (entry === undefined || entry.name !== name) known[place] = entry = new Known(name);
  return entry;
}
