// What checks an extension's options: the JSON Schema of its manifest. That comes from others, and patterns,
// references and sheer size can make one that takes for ever to check: such checks are broken off, and all of them together
// have one time limit, so that no package holds up the requests that this thread serves.
import { z } from "zod";
import { textOf } from "../plugin-api/error-text.ts";
import { CheckTime } from "./check-time.ts";
import type { Manifest } from "./manifest.ts";

/** Longest schema, in characters: what is made of it is much larger. */
const maxLength = 65_536;
/** @throws Error that says what of it cannot be checked */
export function optionsSchema({ options }: Pick<Manifest, "options">): z.ZodType {
  const text = JSON.stringify(options);
  if (text.length > maxLength) throw new Error(`longer than ${maxLength} characters`);
  // {} = any, and options are an object wherever they are written.
  if (text === "{}") return z.record(z.string(), z.unknown());
  const time = CheckTime.of(text);
  return brokenOff(made(options, time), time);
}

const schemas = new WeakMap<CheckTime, z.ZodType>();

/** Once for each text: every policy with the package asks for it, and its set-up again. @throws Error as `fromJSONSchema` does */
function made(options: Manifest["options"], time: CheckTime): z.ZodType {
  let schema = schemas.get(time);
  if (schema === undefined) {
    // zod's own registry keeps whatever has an `id` for ever.
    schema = time.run(() => z.fromJSONSchema(options, { registry: z.registry() }));
    schemas.set(time, schema);
  }
  return schema;
}

/** Code made for a schema of a thousand properties costs ten times what it then checks. */
const unhurried = { jitless: true };

function brokenOff(schema: z.ZodType, time: CheckTime): z.ZodType {
  return z.unknown().transform((value, context) => {
    let result: ReturnType<typeof schema.safeParse>;
    try {
      // Once is enough: every route may have such options.
      result = time.once(value, () => schema.safeParse(value, unhurried));
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
