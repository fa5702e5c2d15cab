// Options of the rate-limit plugin. Strict: whatever passes the schema can be compiled, and every problem is reported
// with its path. The options of admission are in admission/options.ts.
import { z } from "zod";
import { milliseconds, tryWindow, windowLength } from "../../src/language/duration.ts";
import { methodName } from "../../src/language/methods.ts";
import { pathPattern } from "../../src/language/path-pattern.ts";
import { concurrencyOptions, overloadOptions } from "./admission/options.ts";
import { by, planName } from "./option-fields.ts";
import { regionOptions, shareOfRegion } from "./regions.ts";

const maxRefillMs = 366 * 86_400_000;

const conditions = z
  .strictObject({
    methods: z.array(methodName).default([]).describe("Only these methods, HEAD with GET; empty = all."),
    paths: z
      .array(pathPattern)
      .default([])
      .describe("Only these paths: exact, or prefixes that end in /*; empty = all."),
    plans: z.array(planName).default([]).describe("Only callers of these plans; empty = all."),
    identified: z
      .boolean()
      .nullable()
      .default(null)
      .describe("true = only callers with an identity, false = only those without, null = all."),
  })
  .prefault({});

const limit = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, "expected letters, digits, '.', '_' and '-'")
      .describe(
        "Names the limit in headers, metrics and keys; the same definition on several routes counts together.",
      ),
    by: by.default("subject"),
    limit: z.int().min(0).max(1_000_000_000).describe("Permits in a window; 0 refuses every request."),
    window: windowLength.describe(
      "Length of the window: seconds, minutes, hours, days, or 1M for the calendar month.",
    ),
    burst: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe("gcra: permits that may be taken at once; default is the limit."),
    algorithm: z
      .enum(["gcra", "sliding", "fixed"])
      .default("gcra")
      .describe("gcra = smooth with burst, sliding = two weighted buckets, fixed = calendar-aligned in UTC."),
    mode: z
      .enum(["exact", "leased", "auto"])
      .default("auto")
      .describe(
        "exact = Redis decides every request, leased = permits held locally, auto = leased over 50 a second.",
      ),
    when: conditions.describe("Which requests the limit counts."),
    cost: z.int().min(1).max(1_000_000).default(1).describe("Permits that one request takes."),
    fallback: z
      .enum(["ip", "shared"])
      .default("ip")
      .describe(
        "What stands in for a value that a request lacks: the client's address, or one bucket for all.",
      ),
    sharedBy: z
      .enum(["service", "fleet"])
      .default("service")
      .describe(
        "service = each service counts for itself, fleet = the same definition in all services counts together.",
      ),
    regions: regionOptions
      .optional()
      .describe(
        "fixed: one count over several regions, of which each leases a part; default is one a region.",
      ),
    dryRun: z.boolean().default(false).describe("Counts and reports, never refuses."),
  })
  .superRefine((value, context) => {
    const { regions } = value;
    if (regions !== undefined && value.algorithm !== "fixed") {
      context.addIssue({ code: "custom", path: ["regions"], message: "needs algorithm fixed" });
    }
    if (regions !== undefined && value.limit > 0 && shareOfRegion(regions, value.limit) < value.cost) {
      context.addIssue({
        code: "custom",
        path: ["regions", "share"],
        message: "no request fits: a region that is cut off would refuse all",
      });
    }
    if (value.burst !== undefined && value.algorithm !== "gcra") {
      context.addIssue({ code: "custom", path: ["burst"], message: "burst belongs to algorithm gcra" });
    }
    if (
      value.burst !== undefined &&
      value.limit > 0 &&
      value.burst * windowMs(value.window) > value.limit * maxRefillMs
    ) {
      context.addIssue({ code: "custom", path: ["burst"], message: "takes over a year to come back" });
    }
    const capacity = value.algorithm === "gcra" ? (value.burst ?? value.limit) : value.limit;
    if (capacity >= 1 && value.limit > 0 && value.cost > capacity) {
      context.addIssue({
        code: "custom",
        path: ["cost"],
        message: `no request fits: cost is over ${capacity}`,
      });
    }
  });

const limitList = z
  .array(limit)
  .max(32)
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, one] of list.entries()) {
      if (seen.has(one.name)) {
        context.addIssue({ code: "custom", path: [index, "name"], message: "a second limit of that name" });
      }
      seen.add(one.name);
    }
  });

/** @returns 0 for text that the schema refuses anyway */
function windowMs(text: string): number {
  return tryWindow(text)?.ms ?? 0;
}

const headers = z
  .strictObject({
    standard: z.boolean().default(true).describe("RateLimit and RateLimit-Policy of the IETF draft."),
    legacy: z
      .boolean()
      .default(false)
      .describe("X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset (seconds from now)."),
  })
  .prefault({});

export const rateLimitOptions = z
  .strictObject({
    limits: limitList.default([]).describe("Limits of every caller; all that apply are checked."),
    plans: z
      .record(planName, limitList)
      .default({})
      .describe(
        "Limits by the plan of the caller's identity, besides `limits`; one of the same name takes its place.",
      ),
    defaultPlan: planName
      .nullable()
      .default(null)
      .describe("Plan of callers whose plan is unknown or absent; null = the first of `plans`."),
    onStoreError: z
      .enum(["local", "open", "closed"])
      .default("local")
      .describe(
        "Redis out of reach: local = this sidecar's share of the limit, open = no limit, closed = 503.",
      ),
    storeTimeoutMs: milliseconds(5, 5000).default(50).describe("Longest wait for Redis on a request."),
    leaseMs: milliseconds(50, 10_000).default(500).describe("leased: how long a permit may be held."),
    ipv6Prefix: z
      .int()
      .min(32)
      .max(128)
      .default(64)
      .describe("Bits of an IPv6 address that make one caller."),
    dryRun: z.boolean().default(false).describe("Counts and reports on every limit, never refuses."),
    headers: headers.describe("Which response fields tell callers of their limits."),
    concurrency: concurrencyOptions.describe("Bound on requests in flight; null = none."),
    overload: overloadOptions.describe("Protection against overload; works without configuration."),
  })
  .superRefine((value, context) => {
    if (value.defaultPlan !== null && !Object.hasOwn(value.plans, value.defaultPlan)) {
      context.addIssue({ code: "custom", path: ["defaultPlan"], message: "not one of plans" });
    }
  });

export type RateLimitOptions = z.output<typeof rateLimitOptions>;
export type LimitOptions = RateLimitOptions["limits"][number];
export type Conditions = LimitOptions["when"];
