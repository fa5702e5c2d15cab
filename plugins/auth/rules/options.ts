// Options of rules (who may do what where) and of exclusions (paths without a check).
import { z } from "zod";
import { claimPath } from "../../../src/language/claim-path.ts";
import { methodList } from "../../../src/language/methods.ts";
import { network } from "../../../src/language/network.ts";
import { pathPattern } from "../../../src/language/path-pattern.ts";
import { isSpiffePattern } from "../../../src/language/spiffe-id.ts";
import { certificateId, claimValue } from "../option-fields.ts";

const names = z.array(z.string().min(1)).min(1);
const spiffePattern = z
  .string()
  .refine(isSpiffePattern, { error: "must be spiffe://trust-domain/path, or end in /* for all below" });

const anyOrAll = z
  .strictObject({
    any: names.optional().describe("At least one of these (default: not asked)"),
    all: names.optional().describe("Every one of these (default: not asked)"),
  })
  .refine((value) => value.any !== undefined || value.all !== undefined, { error: "needs any or all" });

const claimTest = z
  .strictObject({
    equals: claimValue
      .optional()
      .describe("The claim is this, or an array that holds it (default: not asked)"),
    oneOf: z
      .array(claimValue)
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

export const ruleOptions = z
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
    peer: z
      .array(spiffePattern)
      .min(1)
      .optional()
      .describe(
        "SPIFFE ids, of which the client's own certificate must have one (OUTRIGGER_SPIFFE_CERT); /* = all below (default: not asked)",
      ),
    dryRun: z.boolean().default(false).describe("Only log and count what it would refuse"),
  })
  .refine(
    ({ allow, allowAny, deny, peer }) => {
      const given = [allow, allowAny, deny].filter((part) => part !== undefined).length;
      return given === 1 || (given === 0 && peer !== undefined);
    },
    { error: "needs one of allow, allowAny, deny, or peer" },
  )
  .refine(({ deny, peer }) => deny === undefined || peer === undefined, {
    error: "peer goes with allow or allowAny, or alone: beside deny it would say two things",
  });

export const exclusionOptions = z.union([
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

export type RuleOptions = z.output<typeof ruleOptions>;
export type ConditionOptions = z.output<typeof condition>;
