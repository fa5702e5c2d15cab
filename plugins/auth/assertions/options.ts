// Options of the assertion: the signed identity for the service.
import { z } from "zod";
import { claimPath } from "../../../src/language/claim-path.ts";
import { seconds } from "../../../src/language/duration.ts";
import { ownHeader, secretName } from "../option-fields.ts";

export const assertionOptions = z.strictObject({
  key: z
    .union([z.literal("ASSERTION_KEY"), secretName])
    .default("ASSERTION_KEY")
    .describe("Name of the secret with the private key: PKCS #8 PEM or JWK"),
  algorithm: z
    .enum(["ES256", "EdDSA", "RS256", "PS256"])
    .default("ES256")
    .describe("Signature algorithm; must fit the key"),
  header: ownHeader.default("x-outrigger-identity").describe("Field towards the service"),
  issuer: z.string().min(1).default("outrigger").describe("`iss` of the assertion"),
  audience: z.string().min(1).optional().describe("`aud` of the assertion (default: the service's name)"),
  lifetimeSeconds: seconds(5, 600).default(60).describe("Life of one assertion; reused for its first half"),
  claims: z.array(claimPath).default([]).describe("Verified claims passed on, by path"),
});

export type AssertionOptions = z.output<typeof assertionOptions>;
