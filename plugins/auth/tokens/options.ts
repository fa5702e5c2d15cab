// Options of tokens: issuers of JWTs, introspection of opaque tokens, and browser login.
import { z } from "zod";
import { byteSize } from "../../../src/language/byte-size.ts";
import { milliseconds, seconds } from "../../../src/language/duration.ts";
import { dpopMode, dpopOptions } from "../dpop/options.ts";
import { issuerOptions, issuersOf } from "../issuers/options.ts";
import { loginOptions } from "../login/options.ts";
import { claimMapping, origin, requiredClaims, safeUrl, secretName } from "../option-fields.ts";
import { tokenSources } from "./token-sources.ts";

const introspectionOptions = z.strictObject({
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
  cacheSeconds: seconds(0, 3600).default(30).describe("Longest time an answer is believed"),
  timeoutMs: milliseconds(50, 10_000).default(2000).describe("Longest wait for an answer"),
  dpop: dpopMode,
  requiredClaims,
  claims: claimMapping,
});

export const jwtOptions = z
  .strictObject({
    issuers: z
      .array(issuerOptions)
      .default([])
      .refine((list) => new Set(list.flatMap(issuersOf)).size === list.flatMap(issuersOf).length, {
        error: "names an issuer twice",
      })
      .describe("Issuers whose tokens are taken; a bearer token that none of them claims is refused"),
    from: tokenSources,
    allowedOrigins: z
      .array(origin)
      .default([])
      .describe(
        "Further origins whose pages may use a token cookie for more than GET and HEAD, and for WebSockets",
      ),
    maxTokenBytes: byteSize(256, 65_536).default(8192).describe("Longest token looked at"),
    cacheSeconds: seconds(0, 86_400)
      .default(300)
      .describe("Longest time a verified token is believed unseen; never past exp"),
    cacheBytes: byteSize(0, 1_073_741_824)
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
    jwksRefreshSeconds: seconds(5, 86_400)
      .default(300)
      .describe("Longest time between two looks at an issuer's keys"),
    jwksMaxStaleSeconds: seconds(0, 604_800)
      .default(86_400)
      .describe("How long known keys serve while the issuer is down"),
    jwksCooldownSeconds: seconds(1, 3600)
      .default(10)
      .describe("Time after which unknown key ids may cause one more look each"),
    jwksTimeoutMs: milliseconds(50, 10_000).default(2000).describe("Longest wait for an issuer"),
    shareKeys: z
      .boolean()
      .default(true)
      .describe(
        "Share issuers' keys among a service's sidecars through Redis, where OUTRIGGER_STORE_KEYS is set",
      ),
    introspection: introspectionOptions
      .optional()
      .describe("Asks about opaque bearer tokens (default: they are refused)"),
    dpop: dpopOptions,
    login: loginOptions.optional().describe("Browser login by OpenID Connect (default: off)"),
  })
  .describe("Bearer tokens and browser login");

export type JwtOptions = z.output<typeof jwtOptions>;
export type IntrospectionOptions = z.output<typeof introspectionOptions>;

/** Whether any issuer or the introspection accepts tokens with a DPoP proof. */
export const takesProofs = ({ issuers, introspection }: JwtOptions): boolean =>
  [...issuers, ...(introspection === undefined ? [] : [introspection])].some(
    ({ dpop = "off" }) => dpop !== "off",
  );
