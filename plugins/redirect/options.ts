// Options of the redirect plugin.
import { z } from "zod";
import { methodName } from "../../src/language/methods.ts";
import { fromProblem, hostProblem, toProblem } from "./target.ts";
import { leadsToItself } from "./rule.ts";

const checked = (problemOf: (text: string) => string | undefined) =>
  z
    .string()
    .max(2048)
    .superRefine((text, context) => {
      const message = problemOf(text);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    });

const rule = z
  .strictObject({
    from: checked(fromProblem).describe(
      "Path that is redirected, in normalised form: `{name}` takes one segment, `/*` at the end all that follow.",
    ),
    to: z
      .string()
      .max(2048)
      .describe(
        "Where to: `https://host/path`, or `/path` on the same host, with the segments `{name}` and `/*` of `from`; may have a query.",
      ),
    status: z
      .literal([301, 302, 303, 307, 308])
      .default(307)
      .describe(
        "301 and 308 for good, 302 and 307 for now; 307 and 308 keep method and body, 303 makes it GET.",
      ),
    query: z.enum(["keep", "drop"]).default("keep").describe("Whether the request's query goes along."),
    when: z
      .strictObject({
        methods: z.array(methodName).max(64).default([]).describe("Its methods, GET with HEAD. Empty: all."),
        scheme: z.enum(["http", "https", "any"]).default("any").describe("By which the client came."),
        hosts: z
          .array(checked(hostProblem))
          .max(256)
          .default([])
          .describe("Hosts that the client asked for, with a port or at any. Empty: all."),
      })
      .prefault({})
      .describe("Which requests for that path."),
  })
  .superRefine((value, context) => {
    const problem = toProblem(value.to, value.from);
    const message =
      problem ??
      (leadsToItself(value) ? "would come back to the same rule, and so on without end" : undefined);
    if (message !== undefined) context.addIssue({ code: "custom", path: ["to"], message });
  });

export const redirectOptions = z.strictObject({
  rules: z
    .array(rule)
    .max(500)
    .default([])
    .describe("The first rule that takes a request redirects it; what none takes goes on."),
});

export type RedirectRule = z.output<typeof rule>;
