// Options of the transform plugin.
import { z } from "zod";
import { fieldKey } from "../../src/plugin-api/contract.ts";
import { requestFieldProblem, responseFieldProblem } from "./names.ts";
import { templateProblem } from "./template.ts";

const maxFields = 64;

type Problem = (text: string) => string | undefined;

const checked = (problemOf: Problem) =>
  z.string().superRefine((text, context) => {
    const problem = problemOf(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });

const template = checked(templateProblem);

/** Fields to set: each name once, whatever its case. Names are checked here so that problems carry the name as path. */
const fieldMap = (nameProblem: Problem) =>
  z.record(z.string(), template).superRefine((fields, context) => {
    const seen = new Set<string>();
    const names = Object.keys(fields);
    if (names.length > maxFields) {
      context.addIssue({ code: "custom", message: `must have at most ${maxFields} fields` });
    }
    for (const name of names) {
      const lower = fieldKey(name);
      const problem = seen.has(lower) ? "is set twice in different case" : nameProblem(name);
      seen.add(lower);
      if (problem !== undefined) context.addIssue({ code: "custom", path: [name], message: problem });
    }
  });

const fieldList = (nameProblem: Problem) => z.array(checked(nameProblem)).max(maxFields);

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
