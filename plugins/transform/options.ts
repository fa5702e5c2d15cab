// Options of the transform plugin.
import { z } from "zod";
import { fieldKey, writtenFieldName } from "../../src/language/field-name.ts";
import { requestFieldProblem, responseFieldProblem } from "./names.ts";
import { templateProblem } from "./template.ts";

const maxFields = 64;

type Problem = (text: string) => string | undefined;

const problemsOf = (problemOf: Problem) => (text: string, context: z.core.$RefinementCtx) => {
  const problem = problemOf(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
};

const template = z.string().superRefine(problemsOf(templateProblem));
const noFieldName = ({ code }: z.core.$ZodRawIssue): string | undefined =>
  code === "invalid_key" ? "must be a field name" : undefined;

// Also runs when a key is not a field name, so that all problems are reported at once.
const always = { when: () => true };

/** Fields to set; each name may occur once, in any case. Checked here so that a problem's path ends in the name. */
const fieldMap = (nameProblem: Problem) =>
  z.record(writtenFieldName, template, { error: noFieldName }).superRefine((fields: unknown, context) => {
    const seen = new Set<string>();
    const names = Object.keys(Object(fields) as object);
    if (names.length > maxFields) {
      context.addIssue({ code: "custom", message: `must have at most ${maxFields} fields` });
    }
    for (const name of names) {
      const lower = fieldKey(name);
      const problem = seen.has(lower) ? "is set twice in different case" : nameProblem(name);
      seen.add(lower);
      if (problem !== undefined) context.addIssue({ code: "custom", path: [name], message: problem });
    }
  }, always);

const fieldList = (nameProblem: Problem) =>
  z.array(writtenFieldName.superRefine(problemsOf(nameProblem))).max(maxFields);

export const transformOptions = z.strictObject({
  addHeaders: fieldMap(requestFieldProblem)
    .default({})
    .describe(
      "Fields to set on the request to the service. `$userId`, `$plan`, `$scopes`, `$requestId`, `$clientIp` are filled in, `$$` is a `$`; a field with a variable that has no value is not sent.",
    ),
  removeHeaders: fieldList(requestFieldProblem)
    .default([])
    .describe("Fields to take out of the request before those of `addHeaders` are set."),
  addResponseHeaders: fieldMap(responseFieldProblem)
    .default({})
    .describe(
      "Fields to set on the response, with the same variables. `Set-Cookie` and `Vary` are added to what is there.",
    ),
  removeResponseHeaders: fieldList(responseFieldProblem)
    .default(["x-powered-by", "server"])
    .describe("Fields to take out of the response before those of `addResponseHeaders` are set."),
});
