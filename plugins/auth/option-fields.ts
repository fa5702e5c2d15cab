// Option fields that several parts of the schema share: field names, URLs, secret names, claims, facts about holders.
import { z } from "zod";
import { claimPath } from "../../src/language/claim-path.ts";
import { hasExactNumbers, isExact } from "../../src/language/exact-integers.ts";
import { fieldName } from "../../src/language/field-name.ts";
import { messageFields, writtenForwardedFields } from "../../src/language/field-sets.ts";
import { safeUrl } from "../../src/language/safe-url.ts";

export { isSafeUrl, safeUrl } from "../../src/language/safe-url.ts";
export { secretName } from "../../src/language/secret-name.ts";

/** Fields that frame a message, belong to a connection, or are written by the proxy itself. */
const ofTheMessage = new Set([
  ...messageFields,
  ...writtenForwardedFields,
  "content-type",
  "cookie",
  "via",
  "x-forwarded-client-cert",
  "x-request-id",
]);

/** A field in which clients may send a key. */
export const credentialHeader = fieldName.refine((name) => !ofTheMessage.has(name), {
  error: "has a meaning of its own in HTTP or for proxies",
});

/** A field for the service that only the sidecar sets. */
export const ownHeader = credentialHeader.refine((name) => name !== "authorization", {
  error: "is the clients': it would be taken from every request",
});

/** Id of a client certificate. A star before the end would be an ordinary character, and match nobody. */
export const certificateId = z
  .string()
  .min(1)
  .regex(/^[^*]*\*?$/, "may have a * at its end alone");

/** Text that may go into a field for the service: no control characters, so that it cannot add a line. */
export const identityText = /^\P{Cc}{1,256}$/u;

/** Which claims hold the identity. A path is a claim's own name, or names joined by dots for nested claims. */
export const claimMapping = z
  .strictObject({
    userId: claimPath.default("sub").describe("Claim that holds the user id; a token without it is refused"),
    userIdPrefix: z
      .string()
      .regex(/^[\x21-\x7e]{0,64}$/, "must be up to 64 visible ASCII characters")
      .default("")
      .describe("Put in front of the user id, so that the service can tell users of several issuers apart"),
    plan: claimPath.default("plan").describe("Claim that holds the plan"),
    scopes: claimPath
      .default("scope")
      .describe("Claim that holds the scopes: words in a string, or an array"),
    roles: claimPath.default("roles").describe("Claim that holds the roles: words in a string, or an array"),
  })
  .prefault({})
  .describe("Where in the claims the identity is");

/** The policy's own numbers have been rounded when they get here. */
const exactNumbers = {
  error: "cannot be told from its neighbours: numbers beyond 2^53 are rounded; ask for a text",
};

/** What a claim is compared with. */
export const claimValue = z.union([z.string(), z.number().refine(isExact, exactNumbers), z.boolean()]);

/** Claims that a token must have, each with a given value or one of several. */
export const requiredClaims = z
  .record(claimPath, z.union([claimValue, z.array(claimValue).min(1)]))
  .default({})
  .describe("Claims a token must have: the value, or a list of which one must match; no conversion of types");

export type ClaimMapping = z.output<typeof claimMapping>;
export type RequiredClaims = z.output<typeof requiredClaims>;

export const origin = safeUrl.refine((text) => URL.parse(text)?.origin === text, {
  error: "must be an origin",
});

/** Claims that the policy itself gives a holder. */
export const holderClaims = z
  .record(z.string(), z.unknown())
  .refine(hasExactNumbers, exactNumbers)
  .default({})
  .describe("Further facts, for rules and limits");

/** What the policy says about the holder of a key or password. */
export const holderFacts = {
  plan: z.string().min(1).optional().describe("The holder's plan (default: none)"),
  scopes: z.array(z.string().min(1)).default([]).describe("Scopes of the holder"),
  roles: z.array(z.string().min(1)).default([]).describe("Roles of the holder"),
  claims: holderClaims,
};

/** Whom a key in the policy identifies, with its end. */
export const holderFields = {
  userId: z
    .string()
    .regex(identityText, "must be 1 to 256 characters without control characters")
    .describe("Whose it is"),
  ...holderFacts,
  expiresAt: z.iso.datetime({ offset: true }).optional().describe("When it ends (default: never)"),
  disabled: z.boolean().default(false).describe("Refuse it"),
};
