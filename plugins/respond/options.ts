// Options of the respond plugin.
import { z } from "zod";
import { seconds } from "../../src/language/duration.ts";
import { fieldKey, writtenFieldName } from "../../src/language/field-name.ts";
import { messageFields } from "../../src/language/field-sets.ts";
import { methodName } from "../../src/language/methods.ts";

/** Statuses of answers without content (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5). */
const withoutBody = new Set([204, 205, 304]);

/** Fields that have an option of their own, with its name. */
const ownFields: ReadonlyMap<string, string> = new Map([
  ["content-type", "contentType"],
  ["retry-after", "retryAfterSeconds"],
]);

/** ASCII without line ends, and without blanks at either end, which a receiver would strip (RFC 9110 section 5.5). */
const fieldValue = z
  .string()
  .max(4096)
  .regex(
    /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/,
    "must be printable ASCII without space at the ends",
  );

function nameProblem(name: string): string | undefined {
  const key = fieldKey(name);
  const own = ownFields.get(key);
  if (own !== undefined) return `is set by ${own}`;
  if (!messageFields.includes(key)) return undefined;
  return "frames the message or belongs to the connection: the sidecar alone sets it";
}

export const respondOptions = z
  .strictObject({
    status: z.int().min(200).max(599).default(503).describe("Status of the answer."),
    headers: z
      .record(writtenFieldName, fieldValue)
      .superRefine((headers, context) => {
        for (const name of Object.keys(headers)) {
          const message = nameProblem(name);
          if (message !== undefined) context.addIssue({ code: "custom", path: [name], message });
        }
      })
      .default({})
      .describe("Further fields of the answer."),
    contentType: fieldValue
      .min(1)
      .default("text/plain; charset=utf-8")
      .describe("`Content-Type` of the body; not sent where there is none."),
    body: z.string().max(65_536).default("").describe("The body, as it is sent in UTF-8."),
    retryAfterSeconds: seconds(1, 31_536_000)
      .optional()
      .describe("`Retry-After`: when clients may come again."),
    when: z
      .strictObject({
        methods: z
          .array(methodName)
          .max(64)
          .default([])
          .describe("Methods that are answered here, GET with HEAD; others go to the service. Empty: all."),
      })
      .prefault({})
      .describe("Which requests are answered here."),
  })
  .superRefine(({ status, body }, context) => {
    if (!withoutBody.has(status) || body === "") return;
    context.addIssue({ code: "custom", path: ["body"], message: `an answer ${status} has no body` });
  });

export type RespondOptions = z.output<typeof respondOptions>;
