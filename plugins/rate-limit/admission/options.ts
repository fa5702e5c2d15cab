// Options of admission: concurrency and overload protection.
import { z } from "zod";
import { milliseconds } from "../../../src/language/duration.ts";
import { pathPattern } from "../../../src/language/path-pattern.ts";
import { by, planName } from "../option-fields.ts";

export const concurrencyOptions = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
      .default("concurrency")
      .describe("Names the limit in headers and metrics."),
    limit: z
      .int()
      .min(1)
      .max(100_000)
      .describe("Requests in flight at once, per value of `by`, in this sidecar."),
    queue: z
      .int()
      .min(0)
      .max(10_000)
      .default(0)
      .describe("Requests that may wait for a place, per value of `by`."),
    queueTimeoutMs: milliseconds(1, 60_000).default(1000).describe("Longest wait in that queue."),
    by: by.default("route"),
  })
  .nullable()
  .default(null);

const classMembers = (paths: readonly string[], what: string) =>
  z
    .strictObject({
      paths: z
        .array(pathPattern)
        .default([...paths])
        .describe("Paths of this class: exact, or prefixes that end in /*."),
      plans: z.array(planName).default([]).describe("Plans of this class."),
    })
    .prefault({})
    .describe(what);

export const overloadOptions = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe("Sheds load when this process or the service cannot keep up."),
    critical: classMembers(
      ["/health", "/healthz", "/livez", "/readyz", "/ready", "/live"],
      "Never shed: health checks.",
    ),
    high: classMembers([], "Shed last: paying plans."),
    low: classMembers([], "Class that is shed first."),
  })
  .prefault({});

export type OverloadOptions = z.output<typeof overloadOptions>;
