// What checks an extension's options: the JSON Schema of its manifest. That comes from others, and patterns and
// references can make one that takes for ever to check: such checks are broken off, and all of them together have one
// time limit, so that no package stops a sidecar.
import { z } from "zod";
import { textOf } from "../plugin-api/error-text.ts";
import { CheckTime } from "./check-time.ts";
import type { Manifest } from "./manifest.ts";

/** Longest schema, in characters: what is made of it is much larger. */
const maxLength = 65_536;
/** Without these the work is no more than the schema and the options are long. */
const costly = /"(?:pattern|patternProperties|\$ref|anyOf|oneOf|allOf|not)":/;

/** @throws Error that says what of it cannot be checked */
export function optionsSchema({ options }: Pick<Manifest, "options">): z.ZodType {
  const text = JSON.stringify(options);
  if (text.length > maxLength) throw new Error(`longer than ${maxLength} characters`);
  // {} = any, and options are an object wherever they are written.
  if (text === "{}") return z.record(z.string(), z.unknown());
  if (!costly.test(text)) return z.fromJSONSchema(options);
  const time = CheckTime.of(text);
  return brokenOff(
    time.run(() => z.fromJSONSchema(options)),
    time,
  );
}

function brokenOff(schema: z.ZodType, time: CheckTime): z.ZodType {
  return z.unknown().transform((value, context) => {
    let result: ReturnType<typeof schema.safeParse>;
    try {
      // Once is enough: every route may have such options.
      result = time.once(value, () => schema.safeParse(value));
    } catch (error) {
      const message = `cannot be checked by the schema of the manifest: ${textOf(error)}`;
      context.issues.push({ code: "custom", message, input: value });
      return z.NEVER;
    }
    if (result.success) return result.data;
    // As they were found; their type would have an input for each kind.
    for (const issue of result.error.issues)
      context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
}
