// Options of tokens: issuers of JWTs, introspection of opaque tokens, browser login.
import { z } from "zod";
import { privateMembers, sortEntries } from "./key-entries.ts";
import { claimMapping, pathPattern, requiredClaims, safeUrl, secretName } from "./option-fields.ts";

/** Signature algorithms that may be pinned; `none` is not among them (RFC 8725 section 3.1). */
const algorithmNames = [
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

// Keys of types that are not known here may stand beside good ones (RFC 7517 section 5).
const publicJwk = z
  .record(z.string(), z.unknown())
  .refine((jwk) => !privateMembers.some((name) => Object.hasOwn(jwk, name)), {
    error: "must be a public key: it holds private members",
  });

const issuerFields = z.strictObject({
  issuer: z.string().min(1).max(2048).describe("Exact value of `iss`"),
  jwksUri: safeUrl.optional().describe("Where the issuer publishes its keys (default: not used)"),
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
  clockToleranceSeconds: z.int().min(0).max(300).default(5).describe("Leeway for exp, nbf and iat"),
  maxAgeSeconds: z
    .int()
    .min(1)
    .optional()
    .describe("Longest time since `iat`, which is then required (default: no limit)"),
  requireExp: z.boolean().default(true).describe("Refuse tokens without `exp`"),
  typ: z
    .array(z.string().min(1))
    .default(["JWT", "at+jwt"])
    .describe("Values of the `typ` header taken, in any case; a token without `typ` is taken too"),
  requiredClaims,
  claims: claimMapping,
});

/** One token issuer with exactly one source of keys, and algorithms that fit it. */
const issuer = issuerFields.superRefine((value, context) => {
  const sources = [value.jwksUri, value.jwks, value.secret].filter((source) => source !== undefined).length;
  if (sources + (value.discovery ? 1 : 0) !== 1) {
    context.addIssue({
      code: "custom",
      message: "needs exactly one of jwksUri, discovery: true, jwks, secret",
    });
  }
  if (value.discovery && !safeUrl.safeParse(value.issuer).success) {
    context.addIssue({ code: "custom", path: ["issuer"], message: "must be an https URL for discovery" });
  }
  for (const [index, name] of (value.algorithms ?? []).entries()) {
    // Key confusion: a public key must never serve as an HMAC secret (RFC 8725 section 2.1).
    if (name.startsWith("HS") !== (value.secret !== undefined)) {
      const message = value.secret === undefined ? "needs `secret`" : "does not go with `secret`";
      context.addIssue({ code: "custom", path: ["algorithms", index], message });
    }
  }
});

const introspection = z.strictObject({
  endpoint: safeUrl.describe("Introspection endpoint (RFC 7662)"),
  clientId: z.string().min(1).describe("Client id of the sidecar at that endpoint"),
  clientSecret: secretName.describe("Name of the secret that holds the client's password"),
  clientAuth: z.enum(["basic", "post"]).default("basic").describe("How the client shows it"),
  issuer: z
    .string()
    .min(1)
    .optional()
    .describe("Value the answer's `iss` must have when it has one (default: any)"),
  audience: z
    .array(z.string().min(1))
    .default([])
    .describe("The answer's `aud` must name one; empty = not checked"),
  cacheSeconds: z.int().min(0).max(3600).default(30).describe("Longest time an answer is believed"),
  timeoutMs: z.int().min(50).max(10_000).default(2000).describe("Longest wait for an answer"),
  requiredClaims,
  claims: claimMapping,
});

const loginFields = z.strictObject({
  issuer: safeUrl.describe("OpenID provider, found by discovery"),
  clientId: z.string().min(1).describe("Client id at the provider"),
  clientSecret: secretName
    .optional()
    .describe("Name of the secret that holds the client's password (default: public client)"),
  publicUrl: safeUrl.describe(
    "Origin under which browsers reach this route, e.g. https://app.example; never taken from Host",
  ),
  scopes: z
    .array(z.string().min(1))
    .default(["openid", "profile", "email"])
    .describe("Scopes asked for; must hold openid"),
  parameters: z
    .record(z.string(), z.string())
    .default({})
    .describe("Further parameters of the authorization request, e.g. prompt or resource"),
  algorithms: z
    .array(z.enum(algorithmNames).exclude(["HS256", "HS384", "HS512"]))
    .min(1)
    .default(["RS256", "ES256", "EdDSA"])
    .describe("Signature algorithms taken for ID tokens"),
  callbackPath: pathPattern
    .default("/oauth2/callback")
    .describe("Path of the redirect URI; the route must cover it"),
  loginPath: pathPattern
    .default("/oauth2/login")
    .describe("Starts a login; ?return_to= takes a path of this origin"),
  logoutPath: pathPattern.default("/oauth2/logout").describe("Ends the session here and at the provider"),
  afterLogout: z
    .string()
    .regex(/^\/(?![/\\])[^\s\\]*$/)
    .default("/")
    .describe("Path to go to after the logout"),
  sessionKeys: z
    .union([z.literal("SESSION_KEYS"), secretName])
    .default("SESSION_KEYS")
    .describe(
      "Name of the secret with the cookie keys: base64url of 32 bytes, comma-separated, the first encrypts",
    ),
  cookieName: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .default("__Host-outrigger")
    .describe("Name of the session cookie; chunks get .0, .1, …"),
  secureCookie: z
    .boolean()
    .default(true)
    .describe("Secure attribute; false only for plain http in development"),
  sessionSeconds: z
    .int()
    .min(60)
    .default(43_200)
    .describe("Longest life of a session, whatever is refreshed"),
  refreshBeforeSeconds: z
    .int()
    .min(1)
    .max(3600)
    .default(60)
    .describe("How long before their end tokens are refreshed"),
  timeoutMs: z.int().min(50).max(10_000).default(3000).describe("Longest wait for the provider"),
  requiredClaims,
  claims: claimMapping,
});

const login = loginFields.superRefine(({ cookieName, secureCookie, scopes }, context) => {
  if (!secureCookie && /^__(?:Host|Secure)-/i.test(cookieName)) {
    const message = "browsers take such a name only with secureCookie";
    context.addIssue({ code: "custom", path: ["cookieName"], message });
  }
  if (!scopes.includes("openid"))
    context.addIssue({ code: "custom", path: ["scopes"], message: "must hold openid" });
});

export const jwtOptions = z
  .strictObject({
    issuers: z
      .array(issuer)
      .default([])
      .refine((list) => new Set(list.map((entry) => entry.issuer)).size === list.length, {
        error: "names an issuer twice",
      })
      .describe("Issuers whose tokens are taken; a bearer token that none of them claims is refused"),
    maxTokenBytes: z.int().min(256).max(65_536).default(8192).describe("Longest token looked at"),
    cacheSeconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(300)
      .describe("Longest time a verified token is believed unseen; never past exp"),
    cacheBytes: z
      .int()
      .min(0)
      .max(1_073_741_824)
      .default(25_165_824)
      .describe("Memory for verified tokens; about 1.5 KB each"),
    maxVerifies: z
      .int()
      .min(1)
      .max(1024)
      .default(32)
      .describe(
        "Signatures checked at the same time, and as many tokens introspected; more wait for a second, then are 503",
      ),
    jwksRefreshSeconds: z
      .int()
      .min(5)
      .max(86_400)
      .default(300)
      .describe("Longest time between two looks at an issuer's keys"),
    jwksMaxStaleSeconds: z
      .int()
      .min(0)
      .max(604_800)
      .default(86_400)
      .describe("How long known keys serve while the issuer is down"),
    jwksCooldownSeconds: z
      .int()
      .min(1)
      .max(3600)
      .default(10)
      .describe("Time after which unknown key ids may cause one more look each"),
    jwksTimeoutMs: z.int().min(50).max(10_000).default(2000).describe("Longest wait for an issuer"),
    shareKeys: z
      .boolean()
      .default(true)
      .describe("Share issuers' keys through Redis, so that not every sidecar asks"),
    introspection: introspection
      .optional()
      .describe("Asks about opaque bearer tokens (default: they are refused)"),
    login: login.optional().describe("Browser login by OpenID Connect (default: off)"),
  })
  .describe("Bearer tokens and browser login");

export type JwtOptions = z.output<typeof jwtOptions>;
export type IssuerOptions = JwtOptions["issuers"][number];
export type IntrospectionOptions = z.output<typeof introspection>;
export type LoginOptions = z.output<typeof login>;
