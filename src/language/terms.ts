// Records what the values of a policy mean. Each schema of this folder declares its meaning, and schemas derived from
// it (with a default, a description, a narrower rule) keep it. A test checks every option's meaning against its name.
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

/** @returns undefined for a schema without a declared meaning */
export function meaningOf(schema: z.core.$ZodType): Meaning | undefined {
  return meanings.get(schema as z.ZodType)?.meaning;
}
