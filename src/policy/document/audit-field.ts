// The field `audit` of a document: whether decisions about access are recorded, and whether answers wait for that.
import { z } from "zod";

const modes = ["off", "buffered", "blocking"] as const;

export const audit = z
  .strictObject({
    mode: z
      .enum(modes)
      .optional()
      .describe(
        "Records of decisions about access: off, buffered (written behind, those lost are counted), blocking (no answer without its record, else 503) (default off)",
      ),
  })
  .optional()
  .describe("The audit trail; of a shared policy and a service's layer the stricter counts");

export type AuditField = z.output<typeof audit>;

/** @returns the strictest of the modes, so that no service records less than the shared policy says */
export function stricterAudit(...fields: readonly AuditField[]): AuditField {
  const mode = modes.findLast((each) => fields.some((field) => field?.mode === each));
  return mode === undefined ? undefined : { mode };
}
