// Checks that an option's schema fits the meaning of its name: an option called `cachePath`, `waitMs` or `trustedCidrs`
// has to use the schema of src/language for it, and not a grammar of its own.
import type { z } from "zod";
import { meaningOf, type Meaning } from "../../src/language/terms.ts";

/** A string or number within a schema, and where it is: `rules[].path`, `jwt.claims{}`. */
interface Leaf {
  /** The option's own name. */
  readonly name: string;
  readonly place: string;
  readonly schema: z.core.$ZodType;
}

const byName: readonly (readonly [RegExp, Meaning])[] = [
  [/^(?:path|paths|exclude|stripPrefix)$|Path(?:s|Prefix)?$/, "path"],
  [/^claims?$|Claims?$/, "claim"],
  [/^methods?$|Methods?$/, "method"],
  [/^(?:cidrs?|networks?|ranges?)$|(?:Cidrs?|Networks?|Ranges?)$/, "network"],
  [/^(?:headers?|fields?|targets)$|(?:Headers?|Fields?)$/, "field name"],
  [/Bytes$|^(?:bytes|size)$|Size$/, "byte size"],
  [/Ms$|^timeout$|Timeout$/, "milliseconds"],
  [/Seconds$/, "seconds"],
  [/^(?:window|ttl|interval|duration|period|age)$|(?:Window|Ttl|Interval|Duration|Period|Age)$/, "window"],
];

function expected(name: string): Meaning | undefined {
  return byName.find(([pattern]) => pattern.test(name))?.[1];
}

/** The parts of zod's definitions that contain further schemas. */
interface Within {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly innerType?: z.core.$ZodType;
  readonly element?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
  readonly keyType?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
}

function leavesOf(schema: z.core.$ZodType, name: string, place: string): Leaf[] {
  const def = schema._zod.def as unknown as Within;
  if (def.type === "string" || def.type === "number") return [{ name, place, schema }];
  const within: Leaf[] = [];
  for (const [member, inner] of Object.entries(def.shape ?? {}))
    within.push(...leavesOf(inner, member, place === "" ? member : `${place}.${member}`));
  for (const inner of [def.innerType, def.in, ...(def.options ?? [])])
    if (inner !== undefined) within.push(...leavesOf(inner, name, place));
  if (def.element !== undefined) within.push(...leavesOf(def.element, name, `${place}[]`));
  // A record's name describes its keys (`claims`, `addHeaders`), and its values if these are numbers.
  if (def.keyType !== undefined) within.push(...leavesOf(def.keyType, name, `${place}{}`));
  if (def.valueType !== undefined) {
    const counts = def.valueType._zod.def.type === "number";
    within.push(...leavesOf(def.valueType, counts ? name : "", `${place}.*`));
  }
  return within;
}

/**
 * Finds places whose schema does not fit their name.
 * @param otherwise places whose name means something else, each with that meaning
 */
export function strangers(schema: z.core.$ZodType, otherwise: Readonly<Record<string, string>>): string[] {
  return leavesOf(schema, "", "")
    .filter(({ name, place, schema }) => {
      const meaning = expected(name);
      return meaning !== undefined && meaningOf(schema) !== meaning && otherwise[place] === undefined;
    })
    .map(({ name, place }) => `${place}: a ${expected(name)} by its name`);
}

/** Finds all places whose schema has one of those meanings. */
export function placesOf(schema: z.core.$ZodType): { readonly place: string; readonly meaning: Meaning }[] {
  return leavesOf(schema, "", "").flatMap(({ place, schema }) => {
    const meaning = meaningOf(schema);
    return meaning === undefined ? [] : [{ place, meaning }];
  });
}
