// An extension as policies know plugins: its options by the JSON Schema of its manifest.
import { z } from "zod";
import { textOf } from "../../plugin-api/error-text.ts";
import type { Manifest } from "../../extensions/manifest.ts";
import type { PolicyPlugin } from "../document/schema.ts";

export interface ExtensionPlugin extends PolicyPlugin {
  readonly failMode: "open" | "closed";
}

/** Longest JSON Schema of options, in characters: what is made of it is much larger. */
const maxSchemaLength = 65_536;

/** @returns what checks an extension's options; a text = why its manifest's schema cannot be used */
export function optionsOf({ options }: Pick<Manifest, "options">): z.ZodType | string {
  if (JSON.stringify(options).length > maxSchemaLength)
    return `are longer than ${maxSchemaLength} characters`;
  // {} = any, and options are an object wherever they are written.
  if (Object.keys(options).length === 0) return z.record(z.string(), z.unknown());
  try {
    return z.fromJSONSchema(options);
  } catch (error) {
    return textOf(error);
  }
}
