// Options of the logging plugin.
import { z } from "zod";
import { milliseconds } from "../../src/language/duration.ts";
import { writtenFieldName } from "../../src/language/field-name.ts";

export const loggingOptions = z.strictObject({
  level: z
    .enum(["trace", "debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe(
      "Least level that is written. A line is `info`; `warn` when the status is 4xx or the client left early; `error` when it is 5xx or the exchange failed.",
    ),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe(
      "Share of the `info` lines that is kept, chosen by the request id, so that every sidecar keeps the same requests. `warn` and `error` are always kept.",
    ),
  slowMs: milliseconds(1, 3_600_000)
    .optional()
    .describe(
      "Requests that took as long are `warn` at least, so that no sample leaves them out, and their lines have `pluginMs`. Absent: none is slow. Upgrades never are.",
    ),
  redact: z
    .array(writtenFieldName)
    .max(64)
    .default([])
    .describe(
      "Further names shown as `[redacted]`: header fields, query parameters, or the members `path`, `host`, `clientIp`, `userId`, `credentialId`, `userAgent`.",
    ),
  headers: z
    .array(writtenFieldName)
    .max(32)
    .default([])
    .describe(
      "Header fields to put in the line: as the client sent them in `requestHeaders`, as the client gets them in `responseHeaders`.",
    ),
  query: z
    .boolean()
    .default(false)
    .describe("Also log the query, with the values of parameters that usually carry secrets redacted."),
  stream: z
    .boolean()
    .default(false)
    .describe("Also append the line to the Redis stream `logs:<service>`; needs `REDIS_URL`."),
  streamMaxEntries: z
    .int()
    .min(100)
    .max(1_000_000)
    .default(10_000)
    .describe("About how many lines that stream keeps; older ones go."),
});

export type LoggingOptions = z.output<typeof loggingOptions>;
