// Lower-case forms of field names. Messages come with the same few names again and again, but as new strings each
// time: lower-casing those, and looking them up in a Set (V8 then searches its table of all names for them), was two
// thirds of what reading a head cost.

export interface FieldName {
  readonly name: string;
  readonly lower: string;
}

/** One that was seen, as it was written and in lower case. */
class Known implements FieldName {
  readonly name: string;
  readonly lower: string;

  constructor(name: string) {
    this.name = name;
    // A property's name is unique in V8: it compares by its address, and its hash is known.
    this.lower = Object.keys({ [name.toLowerCase()]: 0 })[0] as string;
  }
}

const places = 1_024;
const longest = 64;
// One name a place: the next that falls there takes it.
const known = Array.from<Known | undefined>({ length: places });

/** @returns the name as it is written and in lower case: the same two strings each time where the name is a common one */
export function knownName(name: string): FieldName {
  const { length } = name;
  if (length === 0 || length > longest) return { name, lower: name.toLowerCase() };
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
