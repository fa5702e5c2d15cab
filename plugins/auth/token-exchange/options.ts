// Options of token exchange: the token that the service gets in place of the caller's.
import { z } from "zod";
import { byteSize } from "../../../src/language/byte-size.ts";
import { milliseconds, seconds } from "../../../src/language/duration.ts";
import { safeUrl, secretName } from "../option-fields.ts";

export const tokenTypes = {
  access_token: "urn:ietf:params:oauth:token-type:access_token",
  jwt: "urn:ietf:params:oauth:token-type:jwt",
} as const;

const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be one scope");

const actorOptions = z
  .strictObject({
    token: secretName
      .optional()
      .describe(
        "Name of the secret that is the token (default: one that the client gets by its own credentials)",
      ),
    tokenType: z.enum(["access_token", "jwt"]).default("access_token").describe("Type of the secret's token"),
    scopes: z
      .array(scope)
      .default([])
      .describe("Scopes that the client asks for its own token; empty = what the server gives"),
    resource: z.array(safeUrl).default([]).describe("URLs that its own token is to be for (RFC 8707)"),
  })
  .superRefine(({ token, scopes, resource }, context) => {
    if (token !== undefined && scopes.length + resource.length > 0)
      context.addIssue({
        code: "custom",
        message: "token is as it is: scopes and resource do not go with it",
      });
  });

export const tokenExchangeOptions = z
  .strictObject({
    issuer: safeUrl
      .optional()
      .describe("Authorization server, whose token endpoint is found by discovery (default: not used)"),
    tokenEndpoint: safeUrl.optional().describe("The token endpoint itself (default: not used)"),
    clientId: z.string().min(1).describe("Client id of the sidecar at that endpoint"),
    clientSecret: secretName.describe("Name of the secret that holds the client's password"),
    clientAuth: z.enum(["basic", "post"]).default("basic").describe("How the client shows it"),
    audience: z
      .array(z.string().min(1))
      .default([])
      .describe("Names of the services that the token is to be for"),
    resource: z
      .array(safeUrl)
      .default([])
      .describe("URLs of the services that the token is to be for (RFC 8707)"),
    scopes: z.array(scope).default([]).describe("Scopes asked for; empty = what the server gives"),
    requestedTokenType: z
      .enum(["access_token", "jwt"])
      .default("access_token")
      .describe("Type of the token that is asked for"),
    actor: actorOptions
      .optional()
      .describe("The sidecar's own token beside the caller's, as who acts for it (default: none)"),
    cacheSeconds: seconds(0, 86_400)
      .default(300)
      .describe("Longest time a token is used for its caller; never past the end of either token"),
    cacheBytes: byteSize(65_536, 1_073_741_824).default(16_777_216).describe("Memory for tokens"),
    maxExchanges: z
      .int()
      .min(1)
      .max(1024)
      .default(32)
      .describe("Tokens asked for at the same time; more wait for a second, then are 503"),
    timeoutMs: milliseconds(50, 5000).default(2000).describe("Longest wait for an answer"),
  })
  .superRefine(({ issuer, tokenEndpoint, audience, resource, scopes }, context) => {
    if ((issuer === undefined) === (tokenEndpoint === undefined))
      context.addIssue({ code: "custom", message: "needs exactly one of issuer, tokenEndpoint" });
    if (audience.length + resource.length + scopes.length === 0)
      context.addIssue({ code: "custom", message: "must say what for: audience, resource or scopes" });
  });

export type TokenExchangeOptions = z.output<typeof tokenExchangeOptions>;
