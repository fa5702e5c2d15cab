// Options of API keys: where clients send them, the keys in the policy, and how others are looked up.
import { z } from "zod";
import { seconds } from "../../../src/language/duration.ts";
import { network } from "../../../src/language/network.ts";
import { credentialHeader, holderClaims } from "../option-fields.ts";

const keyRecord = z.strictObject({
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be 64 hex digits in lower case")
    .describe("SHA-256 of the key, hex"),
  id: z.string().min(1).max(256).describe("Name of the key in logs and limits"),
  userId: z.string().min(1).max(256).describe("Whose key it is"),
  plan: z.string().min(1).optional().describe("The holder's plan (default: none)"),
  scopes: z.array(z.string().min(1)).default([]).describe("Scopes of the key"),
  roles: z.array(z.string().min(1)).default([]).describe("Roles of the key"),
  claims: holderClaims,
  expiresAt: z.iso.datetime({ offset: true }).optional().describe("When it ends (default: never)"),
  disabled: z.boolean().default(false).describe("Refuse it"),
  cidrs: z.array(network).optional().describe("Client addresses it is good from (default: all)"),
  services: z.array(z.string().min(1)).optional().describe("Services it is good for (default: all)"),
});

/** Refuses repeated entries, as only one of them would count. The problem names both places. */
function refuseRepeated<Entry>(
  entries: readonly Entry[],
  context: z.core.$RefinementCtx,
  nameOf: (entry: Entry) => string,
  ...member: string[]
): void {
  const places = new Map<string, number>();
  for (const [index, entry] of entries.entries()) {
    const first = places.get(nameOf(entry));
    if (first === undefined) places.set(nameOf(entry), index);
    else
      context.addIssue({
        code: "custom",
        path: [index, ...member],
        message: `is listed at [${first}] already`,
      });
  }
}

export const apiKeyOptions = z
  .strictObject({
    headers: z
      .array(credentialHeader)
      .superRefine((names, context) => refuseRepeated(names, context, (name) => name))
      .default(["x-api-key"])
      .describe("Fields that carry a key, besides `Authorization: ApiKey …`"),
    query: z
      .array(z.string().min(1))
      .default([])
      .describe("Query parameters that carry a key; with forwardCredentials they stay in the query"),
    keys: z
      .array(keyRecord)
      .superRefine((keys, context) => refuseRepeated(keys, context, ({ sha256 }) => sha256, "sha256"))
      .default([])
      .describe("Keys in the policy itself, by their hash"),
    requirePepper: z
      .boolean()
      .default(false)
      .describe(
        "Take only keys stored under an HMAC with OUTRIGGER_API_KEY_PEPPER, not under a plain SHA-256",
      ),
    signed: z
      .enum(["optional", "require"])
      .default("optional")
      .describe(
        "require = take a key in Redis only with a record that a key of OUTRIGGER_POLICY_KEYS signed",
      ),
    revoked: z
      .array(z.string().min(1).max(256))
      .max(10_000)
      .default([])
      .describe("Ids of keys that are refused whatever their records say"),
    onStoreError: z
      .enum(["deny", "stale"])
      .default("deny")
      .describe("While Redis is out of reach: 503, or go on with keys seen good before"),
    staleSeconds: seconds(1, 86_400)
      .default(300)
      .describe("With stale: longest time since a key was seen good"),
    cacheSeconds: seconds(1, 3600)
      .default(60)
      .describe("How often a cached key is read again, should a message be lost"),
    negativeSeconds: seconds(0, 3600).default(30).describe("How long an unknown key is remembered"),
    maxLookupsPerSecond: z
      .int()
      .min(1)
      .max(100_000)
      .default(1000)
      .describe("Look-ups of keys not cached; more are 503"),
  })
  .describe("API keys; false = none are taken");

export type ApiKeyOptions = z.output<typeof apiKeyOptions>;
