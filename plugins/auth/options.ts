// Options of the auth plugin: who may call, how callers authenticate, and what the service learns. The options of each
// part are in its folder.
import { z } from "zod";
import { seconds } from "../../src/language/duration.ts";
import { apiKeyOptions } from "./api-keys/options.ts";
import { assertionOptions } from "./assertions/options.ts";
import { basicOptions } from "./basic/options.ts";
import { certificateOptions } from "./certificates/options.ts";
import { exclusionOptions, ruleOptions } from "./rules/options.ts";
import { tokenExchangeOptions } from "./token-exchange/options.ts";
import { signatureOptions } from "./signatures/options.ts";
import { jwtOptions } from "./tokens/options.ts";

const authFields = z.strictObject({
  required: z
    .boolean()
    .default(true)
    .describe("Refuse callers that show nothing; a bad credential is refused either way"),
  exclude: z
    .array(exclusionOptions)
    .default([])
    .describe("Paths where nothing is asked or read; credentials are removed as elsewhere"),
  apiKeys: z
    .union([z.literal(false), apiKeyOptions])
    .prefault({})
    .describe("API keys; false = none are taken"),
  jwt: jwtOptions.optional().describe("Bearer tokens and browser login (default: no token is taken)"),
  certificates: certificateOptions
    .optional()
    .describe("Client certificates as identities (default: not looked at)"),
  basic: basicOptions
    .optional()
    .describe(
      "Users with passwords, by Basic authentication (RFC 7617) (default: the scheme is the service's)",
    ),
  signatures: signatureOptions
    .optional()
    .describe("Requests that machines sign (RFC 9421) as identities (default: not looked at)"),
  rules: z
    .array(ruleOptions)
    .default([])
    .describe("Every rule that holds for a request must let it pass; deny wins"),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe("Leave the caller's credential in the request to the service"),
  tokenExchange: tokenExchangeOptions
    .optional()
    .describe("A token for the service in place of the caller's, by RFC 8693 (default: none)"),
  assertion: assertionOptions.optional().describe("Signed identity towards the service (default: none)"),
  guessing: z
    .union([
      z.literal(false),
      z.strictObject({
        failures: z
          .int()
          .min(1)
          .default(300)
          .describe("Bad credentials taken in one window, per client address and per key id"),
        windowSeconds: seconds(1, 86_400).default(60).describe("Length of the window"),
      }),
    ])
    .prefault({})
    .describe("Limit on bad credentials: 429 before any look-up; false = none"),
  realm: z
    .string()
    .regex(/^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}$/)
    .default("outrigger")
    .describe("Realm in WWW-Authenticate"),
});

export const authOptions = authFields.superRefine(({ tokenExchange, forwardCredentials, jwt }, context) => {
  if (tokenExchange === undefined) return;
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: "custom", path, message });
  if (forwardCredentials)
    refuse(["forwardCredentials"], "does not go with tokenExchange: the service gets its own token alone");
  if (jwt === undefined) refuse(["tokenExchange"], "needs jwt: there is nothing to exchange");
  if (jwt?.login?.keepAccessToken === false)
    refuse(["jwt", "login", "keepAccessToken"], "must be true with tokenExchange");
});

export type AuthOptions = z.output<typeof authOptions>;
