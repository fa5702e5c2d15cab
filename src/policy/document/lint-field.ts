// The document's field `lint`: findings of `policy lint` that are intended, and why. Sidecars ignore it.
import { z } from "zod";
import { pathPattern } from "../../language/path-pattern.ts";

export interface LintField {
  readonly allow?: readonly LintAllowance[] | undefined;
}

/** A finding that is intended. */
export interface LintAllowance {
  readonly code: string;
  /** Path pattern of a route, as written; undefined = all routes. */
  readonly route?: string | undefined;
  readonly reason: string;
}

const allowance = z.strictObject({
  code: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}(?:\/[a-z][a-z0-9-]{0,63})?$/, "must be a code that policy lint prints")
    .describe("Code of the findings"),
  route: pathPattern.optional().describe("Only on routes of this path (default: wherever it is found)"),
  reason: z
    .string()
    .max(500)
    .regex(/\S/, "must say why it is meant")
    .describe("Why it is meant, for whoever reads the policy next"),
});

export const lint = z
  .strictObject({
    allow: z.array(allowance).max(1_000).optional().describe("Findings that are meant (default: none)"),
  })
  .optional()
  .describe("What policy lint does not say of this document; changes nothing that a sidecar does");
