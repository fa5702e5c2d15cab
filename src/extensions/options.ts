// What checks an extension's options: the JSON Schema of its manifest. That comes from others, and patterns and
// references can make one that takes for ever to check: such checks are broken off, so that no package stops a sidecar.
import { createContext, Script } from "node:vm";
import { z } from "zod";
import { textOf } from "../plugin-api/error-text.ts";
import type { Manifest } from "./manifest.ts";

/** Longest schema, in characters: what is made of it is much larger. */
const maxLength = 65_536;
/** Of what takes a hundredth of a millisecond; a busy machine gets some slack. */
const limitMs = 1_000;
/** Without these the work is no more than the schema and the options are long. */
const costly = /"(?:pattern|patternProperties|\$ref|anyOf|oneOf|allOf|not)":/;

/** @throws Error that says what of it cannot be checked */
export function optionsSchema({ options }: Pick<Manifest, "options">): z.ZodType {
  const text = JSON.stringify(options);
  if (text.length > maxLength) throw new Error(`longer than ${maxLength} characters`);
  // {} = any, and options are an object wherever they are written.
  if (text === "{}") return z.record(z.string(), z.unknown());
  if (!costly.test(text)) return z.fromJSONSchema(options);
  return brokenOff(inTime(() => z.fromJSONSchema(options)));
}

function brokenOff(schema: z.ZodType): z.ZodType {
  let failure: string | undefined;
  return z.unknown().transform((value, context) => {
    let result: ReturnType<typeof schema.safeParse> | undefined;
    try {
      // Once is enough: every route may have such options.
      if (failure === undefined) result = inTime(() => schema.safeParse(value));
    } catch (error) {
      failure = `cannot be checked by the schema of the manifest: ${textOf(error)}`;
    }
    if (result?.success) return result.data;
    // As they were found; their type would have an input for each kind.
    for (const issue of result?.error.issues ?? [])
      context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
    if (result === undefined) context.issues.push({ code: "custom", message: failure ?? "", input: value });
    return z.NEVER;
  });
}

interface Shared {
  work: (() => unknown) | undefined;
}

let shared: Shared | undefined;
const script = new Script("work()");

/** @throws Error as the work does, or when it takes longer than the limit; nothing of it runs on */
function inTime<Result>(work: () => Result): Result {
  shared ??= createContext({ work: undefined }) as Shared;
  shared.work = work;
  try {
    // V8 looks at such limits within regular expressions, too.
    return script.runInContext(shared, { timeout: limitMs }) as Result;
  } catch (error) {
    const isLate = (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
    throw isLate ? new Error(`takes longer than ${limitMs} ms`) : error;
  } finally {
    shared.work = undefined;
  }
}
