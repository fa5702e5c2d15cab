// Options of the csrf plugin.
import { z } from "zod";
import { pathPattern } from "../../src/language/path-pattern.ts";

/** An origin as browsers write it (RFC 6454 section 6.2): scheme, host in lower case, port unless it is the default. */
const origin = z.string().refine((text) => /^https?:/.test(text) && URL.parse(text)?.origin === text, {
  error: "must be an origin as browsers send it: https://app.example",
});

export const csrfOptions = z.strictObject({
  allowedOrigins: z
    .array(origin)
    .max(256)
    .default([])
    .describe("Further origins whose pages may do what changes something."),
  exclude: z
    .array(pathPattern)
    .max(256)
    .default([])
    .describe("Paths that pages of all sites may use, as clients ask for them."),
  dryRun: z.boolean().default(false).describe("Counts what would be refused, and refuses nothing."),
});
