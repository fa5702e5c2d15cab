// Options of client certificates: which certificate identifies whom.
import { z } from "zod";
import { certificateId } from "../option-fields.ts";

export const certificateOptions = z.strictObject({
  forwarded: z.boolean().default(false).describe("Believe X-Forwarded-Client-Cert of trusted proxies"),
  identities: z
    .array(
      z.strictObject({
        id: certificateId.describe(
          "Id in the certificate: its SPIFFE or other URI, or DNS name; a trailing * is a prefix",
        ),
        userId: z.string().min(1).optional().describe("User id (default: the id itself)"),
        plan: z.string().min(1).optional().describe("Plan (default: none)"),
        scopes: z.array(z.string().min(1)).default([]).describe("Scopes"),
        roles: z.array(z.string().min(1)).default([]).describe("Roles"),
      }),
    )
    .min(1)
    .describe("Who a certificate is; the first match counts, one that matches none is refused"),
});

export type CertificateOptions = z.output<typeof certificateOptions>;
