// Options of the validate plugin.
import { z } from "zod";
import { byteSize } from "../../src/language/byte-size.ts";
import { rangePattern } from "./media-type.ts";

const document = z.record(z.string(), z.unknown());

export const validateOptions = z
  .strictObject({
    schema: document
      .optional()
      .describe("JSON Schema (2020-12) of bodies. References lead to the schema itself alone."),
    openapi: document
      .optional()
      .describe("OpenAPI 3.1 document, whole: paths, methods, parameters and bodies are those that it has."),
    contentTypes: z
      .array(z.string().regex(rangePattern, "must be a media type, type/* or */*"))
      .min(1)
      .max(32)
      .default(["application/json"])
      .describe("Media types of bodies that are taken; with `openapi` that says it."),
    maxBodyBytes: byteSize(1, 16_777_216)
      .default(1_048_576)
      .describe("Longest body that is read: JSON and multipart; longer ones are 413. Others pass unread."),
    maxDepth: z.int().min(1).max(64).default(32).describe("Levels of lists and objects in JSON."),
    multipart: z
      .strictObject({
        maxParts: z.int().min(1).max(1_000).default(64).describe("Parts of a body."),
        maxPartBytes: byteSize(1, 16_777_216)
          .default(1_048_576)
          .describe("Longest part, without its fields."),
      })
      .prefault({})
      .describe("Limits of `multipart/form-data`."),
    responses: z
      .enum(["off", "report"])
      .default("off")
      .describe("Whether JSON responses are held against `openapi`: counted and logged, never changed."),
  })
  .superRefine(({ schema, openapi, responses }, context) => {
    const refuse = (option: string, message: string): void =>
      context.addIssue({ code: "custom", path: [option], message });
    if (schema !== undefined && openapi !== undefined) refuse("schema", "and openapi: one of them says it");
    if (responses !== "off" && openapi === undefined) refuse("responses", "are described by openapi alone");
  });

export type ValidateOptions = z.output<typeof validateOptions>;
