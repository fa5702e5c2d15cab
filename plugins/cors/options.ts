// Options of the cors plugin.
import { z } from "zod";
import { seconds } from "../../src/language/duration.ts";
import { writtenFieldName } from "../../src/language/field-name.ts";
import { methodName } from "../../src/language/methods.ts";
import { originProblem } from "./origins.ts";

/** A method as a preflight names it, in the same case. */
const method = z.union([methodName, z.literal("*")]);

const origin = z.string().superRefine((value, context) => {
  const problem = originProblem(value);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

export const corsOptions = z
  .strictObject({
    origins: z
      .array(origin)
      .max(1000)
      .default([])
      .describe(
        "Origins whose pages may read answers: exact (`https://app.example.com`), with `*.` for one or more whole labels (`https://*.example.com`), with any port (`http://localhost:*`), `null`, or `*` for all. Empty: none.",
      ),
    methods: z
      .array(method)
      .max(64)
      .default(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
      .describe("Methods that a preflight allows, in the case they are sent in; `*` for all."),
    headers: z
      .array(writtenFieldName)
      .max(256)
      .default(["Authorization", "Content-Type", "X-Api-Key", "X-Request-Id"])
      .describe(
        "Request fields that a preflight allows; `*` for all but `Authorization`, which has to be named.",
      ),
    exposeHeaders: z
      .array(writtenFieldName)
      .max(256)
      .default(["RateLimit", "RateLimit-Policy", "Retry-After", "X-Cache", "X-Request-Id", "X-Response-Time"])
      .describe("Response fields that scripts may read besides the safelisted ones; `*` for all."),
    credentials: z
      .boolean()
      .default(false)
      .describe("Whether requests with cookies or client certificates may be read; not together with `*`."),
    maxAgeSeconds: seconds(0, 86_400)
      .default(600)
      .describe("How long a browser may remember a preflight; Chromium caps it at 7200, Firefox at 86400."),
    privateNetwork: z
      .boolean()
      .default(false)
      .describe(
        "Whether pages from a public network may reach this service on a private one (`Access-Control-Request-Private-Network`, `-Local-Network`).",
      ),
  })
  .superRefine((options, context) => {
    if (!options.credentials) return;
    for (const option of ["origins", "methods", "headers", "exposeHeaders"] as const) {
      const index = options[option].indexOf("*");
      if (index === -1) continue;
      // Fetch standard: with credentials `*` is no wildcard, and as an origin it would open the service to every page.
      context.addIssue({
        code: "custom",
        path: [option, index],
        message: "* cannot be used with credentials",
      });
    }
  });

export type CorsOptions = z.output<typeof corsOptions>;
