// Checks an extension's options by the JSON Schema of its manifest. The schema comes from others: its patterns,
// references or size can make a check take practically unlimited time. Checks are therefore stopped after a limit, and
// share one time budget, so that no package holds up the requests of this thread.
import { z } from "zod";
import { textOf } from "../plugin-api/error-text.ts";
import { CheckTime } from "./check-time.ts";
import type { Manifest } from "./manifest.ts";

/** Longest schema, in characters: what is compiled from it is much larger. */
const maxLength = 65_536;
/** @throws Error that says which part of the schema cannot be used */
export function optionsSchema({ options }: Pick<Manifest, "options">): z.ZodType {
  const text = JSON.stringify(options);
  if (text.length > maxLength) throw new Error(`longer than ${maxLength} characters`);
  // {} accepts any options, but options are always an object.
  if (text === "{}") return z.record(z.string(), z.unknown());
  const time = CheckTime.of(text);
  return brokenOff(made(options, time), time);
}

const schemas = new WeakMap<CheckTime, z.ZodType>();

/** Compiled once for each text: policies and set-ups ask for it again. @throws Error as `fromJSONSchema` does */
function made(options: Manifest["options"], time: CheckTime): z.ZodType {
  let schema = schemas.get(time);
  if (schema === undefined) {
    // A registry of its own: zod's global one would keep every schema with an `id` for the life of the process.
    schema = time.run(() => z.fromJSONSchema(options, { registry: z.registry() }));
    schemas.set(time, schema);
  }
  return schema;
}

/** Generating code for a schema of a thousand properties costs ten times as much as one check. */
const unhurried = { jitless: true };

function brokenOff(schema: z.ZodType, time: CheckTime): z.ZodType {
  return z.unknown().transform((value, context) => {
    let result: ReturnType<typeof schema.safeParse>;
    try {
      // Cached, because many routes may have the same options.
      result = time.once(value, () => schema.safeParse(value, unhurried));
    } catch (error) {
      const message = `cannot be checked by the schema of the manifest: ${textOf(error)}`;
      context.issues.push({ code: "custom", message, input: value });
      return z.NEVER;
    }
    if (result.success) return result.data;
    // The issues are passed on unchanged; their type would require a case for each kind.
    for (const issue of result.error.issues)
      context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
}
