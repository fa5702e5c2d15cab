// The field `tracing` of a document and of its routes: which traces are recorded. It overrides the sidecar's settings.
import { z } from "zod";
import { milliseconds } from "../../language/duration.ts";

export const tracing = z
  .strictObject({
    sampleRatio: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        "Share of the traces that are recorded, of those that begin here (default: by OTEL_TRACES_SAMPLER)",
      ),
    maxPerSecond: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe("Most traces a second that a process records, callers' own included (default: any number)"),
    keepErrors: z
      .boolean()
      .optional()
      .describe(
        "Whether requests that failed (5xx, or broken off) are recorded whatever the rest says (default true)",
      ),
    keepSlowerThanMs: milliseconds(0, 3_600_000)
      .optional()
      .describe("Milliseconds above which a request is recorded whatever the rest says (default: none)"),
    traceResponse: z
      .boolean()
      .optional()
      .describe("Whether clients are told the trace in the field traceresponse (default false)"),
  })
  .optional()
  .describe("Which traces are recorded; a route's goes over that of the document, field by field");

export type TracingField = z.output<typeof tracing>;
