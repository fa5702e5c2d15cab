// Options of the auth plugin: who may call, how they show it, and what the service gets to know.
import { z } from "zod";
import { claimPath } from "../../src/language/claim-path.ts";
import { seconds } from "../../src/language/duration.ts";
import { methodList } from "../../src/language/methods.ts";
import { network } from "../../src/language/network.ts";
import { pathPattern } from "../../src/language/path-pattern.ts";
import { certificateId, ownHeader, secretName } from "./option-fields.ts";
import { apiKeys } from "./api-keys/options.ts";
import { jwtOptions } from "./tokens/options.ts";

const names = z.array(z.string().min(1)).min(1);
const scalar = z.union([z.string(), z.number(), z.boolean()]);

const anyOrAll = z
  .strictObject({
    any: names.optional().describe("At least one of these (default: not asked)"),
    all: names.optional().describe("Every one of these (default: not asked)"),
  })
  .refine((value) => value.any !== undefined || value.all !== undefined, { error: "needs any or all" });

const claimTest = z
  .strictObject({
    equals: scalar.optional().describe("The claim is this, or an array that holds it (default: not asked)"),
    oneOf: z
      .array(scalar)
      .min(1)
      .optional()
      .describe("The claim is, or holds, one of these (default: not asked)"),
    prefix: z
      .string()
      .min(1)
      .optional()
      .describe("The claim is, or holds, a string that starts so (default: not asked)"),
  })
  .refine((value) => Object.values(value).filter((test) => test !== undefined).length === 1, {
    error: "needs exactly one of equals, oneOf, prefix",
  });

const condition = z.strictObject({
  scopes: anyOrAll.optional().describe("Scopes of the caller (default: not asked)"),
  roles: anyOrAll.optional().describe("Roles of the caller (default: not asked)"),
  plan: z
    .strictObject({ any: names.describe("One of these") })
    .optional()
    .describe("Plans of which the caller has one (default: not asked)"),
  claims: z.record(claimPath, claimTest).optional().describe("Claims by path (default: not asked)"),
  certificate: z
    .strictObject({ any: z.array(certificateId).min(1).describe("One of these") })
    .optional()
    .describe(
      "Ids of the client certificate, e.g. spiffe://…; a trailing * is a prefix (default: not asked)",
    ),
  client: z
    .strictObject({ cidrs: z.array(network).min(1).describe("Addresses and ranges") })
    .optional()
    .describe("Ranges that hold the client's address (default: not asked)"),
});

const rule = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\w.-]{1,64}$/)
      .optional()
      .describe("Name in log lines and metrics (default: its place in the list)"),
    path: pathPattern.default("/*").describe("Paths it holds for"),
    methods: methodList.optional().describe("Methods it holds for, HEAD with GET (default: all)"),
    allow: condition
      .optional()
      .describe("What callers must meet: every part of it; {} = any known caller (default: not asked)"),
    allowAny: z
      .array(condition)
      .min(1)
      .optional()
      .describe("Conditions of which callers must meet one whole (default: not asked)"),
    deny: condition
      .optional()
      .describe(
        "Who is refused, whatever else allows them: all parts hold; {} = everybody (default: nobody)",
      ),
    dryRun: z.boolean().default(false).describe("Only log and count what it would refuse"),
  })
  .refine(
    ({ allow, allowAny, deny }) => [allow, allowAny, deny].filter((part) => part !== undefined).length === 1,
    {
      error: "needs one of allow, allowAny, deny",
    },
  );

const certificates = z.strictObject({
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

const assertion = z.strictObject({
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

const exclusion = z.union([
  pathPattern,
  z.strictObject({
    path: pathPattern,
    methods: methodList.optional().describe("Methods it holds for, HEAD with GET (default: all)"),
    forwardCredentials: z
      .boolean()
      .optional()
      .describe("Leave the caller's credential to a service that checks it (default: the plugin's)"),
  }),
]);

export const authOptions = z.strictObject({
  required: z
    .boolean()
    .default(true)
    .describe("Refuse callers that show nothing; a bad credential is refused either way"),
  exclude: z
    .array(exclusion)
    .default([])
    .describe("Paths where nothing is asked or read; credentials are removed as elsewhere"),
  apiKeys: z
    .union([z.literal(false), apiKeys])
    .prefault({})
    .describe("API keys; false = none are taken"),
  jwt: jwtOptions.optional().describe("Bearer tokens and browser login (default: no token is taken)"),
  certificates: certificates
    .optional()
    .describe("Client certificates as identities (default: not looked at)"),
  rules: z
    .array(rule)
    .default([])
    .describe("Every rule that holds for a request must let it pass; deny wins"),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe("Leave the caller's credential in the request to the service"),
  assertion: assertion.optional().describe("Signed identity towards the service (default: none)"),
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

export type AuthOptions = z.output<typeof authOptions>;
export type ApiKeyOptions = Exclude<AuthOptions["apiKeys"], false>;
export type RuleOptions = AuthOptions["rules"][number];
export type ConditionOptions = z.output<typeof condition>;
export type CertificateOptions = z.output<typeof certificates>;
export type AssertionOptions = z.output<typeof assertion>;
