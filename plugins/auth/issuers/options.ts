// Options of one issuer of JWTs, or of one issuer per tenant.
import { z } from "zod";
import { seconds } from "../../../src/language/duration.ts";
import { dpopMode } from "../dpop/options.ts";
import { privateMembers, sortEntries } from "./key-entries.ts";
import { claimMapping, isSafeUrl, requiredClaims, secretName } from "../option-fields.ts";

/** Signature algorithms that a policy may list. `none` is not among them (RFC 8725 section 3.1). */
export const algorithmNames = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
  "HS256",
  "HS384",
  "HS512",
] as const;

// Keys of unknown types may stand beside good ones (RFC 7517 section 5).
const publicJwk = z
  .record(z.string(), z.unknown())
  .refine((jwk) => !privateMembers.some((name) => Object.hasOwn(jwk, name)), {
    error: "must be a public key: it holds private members",
  });

const placeholder = "{tenant}";
const filled = (template: string, tenant: string): string => template.replaceAll(placeholder, tenant);

/** A URL that is safe for keys and tokens with any tenant id in it. */
const keysUrl = z.string().refine((text) => isSafeUrl(filled(text, "tenant")), {
  error: "must be an https URL without user info, of no link-local address",
});

const issuerFields = z.strictObject({
  issuer: z
    .string()
    .min(1)
    .max(2048)
    .describe("Exact value of `iss`; with `tenants` a template that holds {tenant}"),
  tenants: z
    .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "must be the id of one tenant"))
    .min(1)
    .max(200)
    .optional()
    .describe(
      "What {tenant} may be in `issuer` and `jwksUri`: nobody else's tokens are taken (default: no template)",
    ),
  jwksUri: keysUrl.optional().describe("Where the issuer publishes its keys (default: not used)"),
  discovery: z
    .boolean()
    .default(false)
    .describe("Find the keys by OpenID Connect Discovery at the issuer's URL"),
  jwks: z
    .strictObject({
      keys: z
        .array(publicJwk)
        .refine((keys) => sortEntries(keys).keys.length > 0, {
          error: "holds no key that can be used: needs kty RSA, EC or OKP with its members",
        })
        .describe("Public keys as JWKs (RFC 7517); those of other types are passed over with a warning"),
    })
    .optional()
    .describe("The issuer's public keys themselves (default: not used)"),
  secret: secretName
    .optional()
    .describe(
      "Name of the secret for HS256/384/512, of at least as many bytes as the hash (default: not used)",
    ),
  algorithms: z
    .array(z.enum(algorithmNames))
    .min(1)
    .optional()
    .describe("Signature algorithms taken (default: RS256, ES256, EdDSA; with `secret`: HS256)"),
  audience: z
    .array(z.string().min(1))
    .default([])
    .describe("The token's `aud` must name one of these; empty = not checked"),
  clockToleranceSeconds: seconds(0, 300).default(5).describe("Leeway for exp, nbf and iat"),
  maxAgeSeconds: seconds(1)
    .optional()
    .describe("Longest time since `iat`, which is then required (default: no limit)"),
  requireExp: z.boolean().default(true).describe("Refuse tokens without `exp`"),
  typ: z
    .array(z.string().min(1))
    .default(["JWT", "at+jwt"])
    .describe("Values of the `typ` header taken, in any case; a token without `typ` is taken too"),
  profile: z
    .enum(["rfc9068"])
    .optional()
    .describe(
      "Take access tokens of RFC 9068 alone: `typ` at+jwt, `exp`, `iat`, `sub`, `client_id`, `jti`, and an `audience` (default: any JWT)",
    ),
  dpop: dpopMode,
  requiredClaims,
  claims: claimMapping,
});

/** One token issuer with exactly one source of keys, and algorithms that fit it. */
export const issuerOptions = issuerFields.superRefine((value, context) => {
  const sources = [value.jwksUri, value.jwks, value.secret].filter((source) => source !== undefined).length;
  if (sources + (value.discovery ? 1 : 0) !== 1) {
    context.addIssue({
      code: "custom",
      message: "needs exactly one of jwksUri, discovery: true, jwks, secret",
    });
  }
  if (value.issuer.includes(placeholder) !== (value.tenants !== undefined)) {
    const message = value.tenants
      ? `must hold ${placeholder}, as there are tenants`
      : `${placeholder} needs tenants`;
    context.addIssue({ code: "custom", path: ["issuer"], message });
  } else if (value.tenants === undefined && value.jwksUri?.includes(placeholder) === true) {
    context.addIssue({ code: "custom", path: ["jwksUri"], message: `${placeholder} needs tenants` });
  }
  if (value.discovery && !isSafeUrl(filled(value.issuer, "tenant"))) {
    context.addIssue({ code: "custom", path: ["issuer"], message: "must be an https URL for discovery" });
  }
  if (value.profile !== undefined && value.audience.length === 0) {
    context.addIssue({
      code: "custom",
      path: ["audience"],
      message: "must name this service: RFC 9068 section 4",
    });
  }
  for (const [index, name] of (value.algorithms ?? []).entries()) {
    // Key confusion: a public key must never serve as an HMAC secret (RFC 8725 section 2.1).
    if (name.startsWith("HS") !== (value.secret !== undefined)) {
      const message = value.secret === undefined ? "needs `secret`" : "does not go with `secret`";
      context.addIssue({ code: "custom", path: ["algorithms", index], message });
    }
  }
});

export type IssuerOptions = z.output<typeof issuerOptions>;

/** @returns every value of `iss` that an entry stands for */
export function issuersOf({ issuer: template, tenants }: IssuerOptions): string[] {
  return tenants === undefined ? [template] : tenants.map((tenant) => filled(template, tenant));
}

/** @returns the options of each tenant's issuer, or the entry itself when it has no tenants */
export function perTenant(options: IssuerOptions): IssuerOptions[] {
  const { tenants, ...rest } = options;
  if (tenants === undefined) return [options];
  return tenants.map((tenant) => ({
    ...rest,
    issuer: filled(rest.issuer, tenant),
    jwksUri: rest.jwksUri === undefined ? undefined : filled(rest.jwksUri, tenant),
  }));
}
