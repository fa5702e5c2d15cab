// Options of sender-constrained tokens (RFC 9449): which issuers' tokens need a proof, and what a proof must hold.
import { z } from "zod";
import { seconds } from "../../../src/language/duration.ts";
import { safeUrl } from "../option-fields.ts";

/** Asymmetric algorithms only: a proof shows that the client holds a private key (RFC 9449 section 4.2). */
const proofAlgorithms = ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256"] as const;

/** The option `dpop` of a token issuer and of introspection. */
export const dpopMode = z
  .enum(["off", "accept", "required"])
  .optional()
  .describe(
    "DPoP (RFC 9449): `accept` = tokens bound to a key (`cnf.jkt`) are taken, with a proof by it; `required` = no others (default: off, bound ones are refused)",
  );

export type DpopMode = z.output<typeof dpopMode>;

export const dpopOptions = z
  .strictObject({
    algorithms: z
      .array(z.enum(proofAlgorithms))
      .min(1)
      .default(["ES256", "EdDSA", "Ed25519", "PS256", "RS256"])
      .describe("Signature algorithms taken for proofs"),
    maxAgeSeconds: seconds(1, 3600)
      .default(60)
      .describe("Longest time since the proof's `iat`; each is remembered for that long"),
    clockToleranceSeconds: seconds(0, 300).default(5).describe("Leeway for `iat`, either way"),
    publicUrls: z
      .array(safeUrl.refine((text) => URL.parse(text)?.search === "", { error: "has a query" }))
      .default([])
      .describe(
        "Where clients reach the route, with the base path that a proxy takes off; `htu` must be the request's path at one (default: its own scheme and `Host`)",
      ),
    nonce: z
      .boolean()
      .default(false)
      .describe(
        "Proofs must hold a nonce of the last five minutes (`DPoP-Nonce`); needs OUTRIGGER_STORE_KEYS",
      ),
    onStoreError: z
      .enum(["deny", "local"])
      .default("deny")
      .describe("While Redis is out of reach: 503, or take proofs that this process has not seen itself"),
  })
  .prefault({})
  .describe("Proofs of tokens that are bound to a key, where an issuer has `dpop`");

export type DpopOptions = z.output<typeof dpopOptions>;
