// Declares the options of the cache plugin. The schema is strict; every option has a description, and all but `keyRole`
// a default.
import { z } from "zod";
import { byteSize } from "../../src/language/byte-size.ts";
import { claimPathSource } from "../../src/language/claim-path.ts";
import { milliseconds, seconds } from "../../src/language/duration.ts";
import { fieldKey, fieldName, fieldNameSource, tokenCharacter } from "../../src/language/field-name.ts";

const maxSeconds = 31_536_000;
const varyMember = z
  .string()
  .max(300)
  .regex(
    new RegExp(`^(claim:${claimPathSource}|${fieldNameSource})$`, "u"),
    "must be a field name, or claim:<path>",
  )
  .overwrite((member) => (member.startsWith("claim:") ? member : fieldKey(member)));
const queryName = z.string().regex(/^[^&=#;\s]+$/, "must be the name of one query parameter");
const tag = z.string().regex(/^[\x21-\x2b\x2d-\x7e]{1,128}$/, "must be printable, without spaces and commas");

const bypass = z
  .strictObject({
    fields: z
      .array(fieldName)
      .max(32)
      .default([])
      .describe("Request fields whose presence bypasses the cache."),
    cookies: z
      .array(z.string().regex(new RegExp(`^${tokenCharacter}+$`)))
      .max(32)
      .default([])
      .describe("Names of cookies whose presence bypasses the cache."),
    query: z
      .array(queryName)
      .max(32)
      .default([])
      .describe("Query parameters whose presence bypasses the cache."),
  })
  .prefault({});

/** Options of the cache plugin, in the form a policy gives them. */
export const cacheOptions = z.strictObject({
  ttlSeconds: seconds(0, maxSeconds)
    .default(0)
    .describe("Lifetime of an answer for which the upstream gave none. 0 = only what RFC 9111 allows."),
  respectOrigin: z
    .boolean()
    .default(true)
    .describe(
      "false: ttlSeconds overrides the upstream's lifetime; never for private, no-store or Set-Cookie.",
    ),
  respectClient: z
    .boolean()
    .default(true)
    .describe("Whether the request's own Cache-Control (no-cache, max-age, min-fresh, max-stale) is obeyed."),
  scope: z
    .enum(["auto", "shared", "identity"])
    .default("auto")
    .describe(
      "auto: a known caller's answers are kept for that caller unless public or s-maxage; shared: for everybody; identity: always for that caller.",
    ),
  vary: z
    .array(varyMember)
    .max(16)
    .default([])
    .describe(
      "Request fields, or claim:<path> of the verified identity, that tell answers apart besides Vary.",
    ),
  ignoreQuery: z
    .array(queryName)
    .max(64)
    .default([])
    .describe("Query parameters left out of the key; only for those that the service never reads."),
  sortQuery: z
    .boolean()
    .default(false)
    .describe("Whether the order of query parameters is left out of the key."),
  negativeTtlSeconds: z
    .partialRecord(z.string().regex(/^[45]\d\d$/, "must be a status of 400 to 599"), seconds(0, 86_400))
    .default({})
    .describe('Lifetime by error status where the upstream gave none, e.g. { "404": 10 }.'),
  bypass: bypass.describe("Requests that neither use nor fill the cache."),
  tags: z.array(tag).max(32).default([]).describe("Purge tags given to every answer of this route."),
  keyRole: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe("Callers with this role are told an answer's key in Cache-Status; unset: nobody is."),
  stripSetCookie: z
    .boolean()
    .default(false)
    .describe("Removes Set-Cookie from every answer of this route, which makes it storable."),
  targets: z
    .array(fieldName)
    .max(4)
    .default(["outrigger-cache-control", "cdn-cache-control"])
    .describe("Targeted fields (RFC 9213), the first valid one counts in place of Cache-Control."),
  maxBodyBytes: byteSize(0, 268_435_456)
    .default(1_048_576)
    .describe("Largest body that is stored; a larger one only passes through."),
  memoryBytes: byteSize(0, 17_179_869_184)
    .default(67_108_864)
    .describe("Memory tier of the process, keys and fields counted; the largest value of the policy holds."),
  redis: z.boolean().default(true).describe("Whether answers are also kept in Redis, where there is one."),
  redisWaitMs: milliseconds(1, 1_000)
    .default(5)
    .describe("Longest wait for a look-up in Redis; a slower one counts as a miss."),
  redisMaxBytes: byteSize(0, 67_108_864)
    .default(262_144)
    .describe("Largest entry that goes to Redis, after compression."),
  staleWhileRevalidateSeconds: seconds(0, maxSeconds)
    .default(0)
    .describe(
      "How long a stale answer is served while one background request refreshes it, where the upstream did not say.",
    ),
  staleIfErrorSeconds: seconds(0, maxSeconds)
    .default(0)
    .describe(
      "How long a stale answer is served when the upstream fails or answers 5xx, where the upstream did not say.",
    ),
  coalesce: z
    .enum(["off", "sidecar", "fleet"])
    .default("sidecar")
    .describe("Whether simultaneous misses become one upstream request, here or in the whole fleet."),
  coalesceWaitMs: milliseconds(10, 60_000)
    .default(5_000)
    .describe("Longest wait for somebody else's request before asking the upstream on one's own."),
});

export type CacheOptions = z.output<typeof cacheOptions>;
