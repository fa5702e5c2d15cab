// What a value of a policy means: each schema of this folder says it of itself, and whatever is made of such a schema
// (a default, a description, a narrower rule) goes on saying it. A test holds every option to it by its name.
import { z } from "zod";

export type Meaning =
  | "path"
  | "claim"
  | "method"
  | "network"
  | "field name"
  | "byte size"
  | "milliseconds"
  | "seconds"
  | "window";

const meanings = z.registry<{ readonly meaning: Meaning }>();

/** @returns the schema itself */
export function term<Schema extends z.ZodType>(meaning: Meaning, schema: Schema): Schema {
  meanings.add(schema, { meaning });
  return schema;
}

/** @returns undefined for a schema that is not of this language */
export function meaningOf(schema: z.core.$ZodType): Meaning | undefined {
  return meanings.get(schema as z.ZodType)?.meaning;
}
