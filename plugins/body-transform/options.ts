// Options of the body-transform plugin.
import { z } from "zod";
import { byteSize } from "../../src/language/byte-size.ts";
import { compileChanges } from "./changes.ts";

const maxChanges = 64;

const change = (of: string) =>
  z
    .strictObject({
      add: z
        .record(z.string(), z.unknown())
        .default({})
        .describe(
          "Members to set, by JSON Pointer: in place of what is there, else new, with the objects above.",
        ),
      remove: z
        .array(z.string())
        .max(maxChanges)
        .default([])
        .describe("Members to take out, by JSON Pointer."),
      rename: z
        .record(z.string(), z.string().max(256))
        .default({})
        .describe("New names of members, by JSON Pointer; one of that name gives way."),
    })
    .superRefine((changes, context) => {
      for (const option of ["add", "rename"] as const)
        if (Object.keys(changes[option]).length > maxChanges)
          context.addIssue({
            code: "custom",
            path: [option],
            message: `must have at most ${maxChanges} members`,
          });
      const compiled = compileChanges(changes);
      if (!("children" in compiled))
        for (const { path, message } of compiled)
          context.addIssue({ code: "custom", path: [...path], message });
    })
    .prefault({})
    .describe(`Changes in ${of}. All pointers are of the body as it came.`);

export const bodyTransformOptions = z.strictObject({
  request: change("bodies on their way to the service"),
  response: change("the service's answers"),
  maxBodyBytes: byteSize(1, 16_777_216)
    .default(1_048_576)
    .describe(
      "Longest body that is read, decoded. Longer requests are 413; longer answers are as `onFailure` says.",
    ),
  onFailure: z
    .enum(["refuse", "pass"])
    .default("refuse")
    .describe(
      "What becomes of a body that cannot be changed: `refuse` = 400, 415 or 422 to the client, 502 for an answer of the service's; `pass` = it goes on as it is.",
    ),
});

export type BodyTransformOptions = z.output<typeof bodyTransformOptions>;
