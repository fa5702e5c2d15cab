// The field `retry` of a route: when a request is sent to the service again, and how often.
import { z } from "zod";
import { milliseconds } from "../../language/duration.ts";

const reasons = ["connect-failure", "reset", "gateway-error", "unavailable"] as const;

const on = z
  .array(z.enum(reasons))
  .min(1)
  .meta({ uniqueItems: true })
  .superRefine((list, context) => {
    for (const [index, reason] of list.entries())
      if (list.indexOf(reason) < index)
        context.addIssue({ code: "custom", path: [index], message: "listed twice" });
  })
  .optional()
  .describe(
    "What is asked again for: connect-failure (no connection was to be had), reset (it broke before the response head), gateway-error (502, 503, 504), unavailable (gRPC's status 14 before any message) (default: all of them)",
  );

export const retry = z
  .strictObject({
    on,
    attempts: z
      .int()
      .min(2)
      .max(10)
      .optional()
      .describe("Most times it is sent, the first included (default 3)"),
    backoffMs: milliseconds(1, 10_000)
      .optional()
      .describe(
        "Milliseconds that the pause before the second try may take; twice that before the third, and so on, at random between 0 and that (default 25)",
      ),
    budget: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe(
        "Percent of the route's requests of the last ten seconds that may be sent again (default 20); at least ten may",
      ),
    holdMs: milliseconds(0, 30_000)
      .optional()
      .describe(
        "Milliseconds that a request waits for a service that refuses connections, as one does that restarts; 0: not at all (default 5000)",
      ),
  })
  .optional()
  .describe(
    "Asks the service again where that is safe: methods that may be repeated, or an Idempotency-Key; within the route's timeout (default: never)",
  );

export type RetryField = z.output<typeof retry>;
/** The names of the fields of `retry`. */
export const retryFields = ["on", "attempts", "backoffMs", "budget", "holdMs"];
