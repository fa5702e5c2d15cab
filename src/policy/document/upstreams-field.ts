// The field `upstreams`: upstreams with several endpoints, by name. Only the shared policy may have it: the author of a
// service's layer must not send the sidecar to addresses of their own.
import { z } from "zod";
import { FormatError, parseUpstream } from "../../config/formats.ts";
import { isClosedAddress } from "../../language/closed-addresses.ts";
import { milliseconds } from "../../language/duration.ts";
import { fieldName } from "../../language/field-name.ts";
import { leadingSegments } from "../../language/path-pattern.ts";

const namePattern = /^[a-z][a-z0-9-]{0,62}$/;

/** Whether a route's `upstream` is a name. An address contains a `:`, which a name cannot. */
export function isUpstreamName(text: string): boolean {
  return namePattern.test(text);
}

/** @returns what is wrong with an endpoint, even if it is allowed; undefined = nothing */
function endpointFlaw(text: string): string | undefined {
  try {
    const { host, basePath } = parseUpstream(text);
    if (basePath !== undefined) return "must have no path: the route's stripPrefix says what is forwarded";
    return isClosedAddress(host)
      ? "is a link-local or metadata address, which is never connected to"
      : undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

const url = z
  .string()
  .superRefine((text, context) => {
    const message = endpointFlaw(text);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  })
  .describe(
    "http://host:port, https://host:port or unix:/path; a name stands for all addresses that it resolves to",
  );

const endpoint = z.union([
  url,
  z.strictObject({
    url,
    zone: z
      .string()
      .regex(/^[\w.-]{1,64}$/, "must be 1 to 64 letters, digits, dots, dashes or underscores")
      .optional()
      .describe("Where it is; sidecars whose OUTRIGGER_ZONE that is ask it first"),
  }),
]);

const endpoints = z
  .array(endpoint)
  .min(1)
  .max(64)
  .superRefine((list, context) => {
    const texts = list.map((each) => (typeof each === "string" ? each : each.url));
    for (const [index, text] of texts.entries())
      if (texts.indexOf(text) < index)
        context.addIssue({ code: "custom", path: [index], message: "listed twice" });
  })
  .describe("Where it listens");

const threshold = z.int().min(1).max(10).optional();

const health = z
  .strictObject({
    path: leadingSegments
      .regex(/^\/[\x21-\x7e]{0,255}$/, "must be a path such as /healthz")
      .describe("Path that each endpoint is asked for with GET; 2xx and 3xx are good"),
    intervalMs: milliseconds(500, 300_000)
      .optional()
      .describe("Milliseconds between two checks of an endpoint, by each process (default 5000)"),
    timeoutMs: milliseconds(50, 60_000)
      .optional()
      .describe("Milliseconds that an answer may take (default 1000)"),
    healthyThreshold: threshold.describe("Good answers in a row that make it healthy (default 2)"),
    unhealthyThreshold: threshold.describe("Bad answers in a row that make it unhealthy (default 3)"),
  })
  .optional()
  .describe("How endpoints are asked how they are (default: they are not)");

const outlier = z
  .strictObject({
    consecutiveFailures: z
      .int()
      .min(0)
      .max(1_000)
      .optional()
      .describe(
        "Answers 5xx and failed connections in a row for which an endpoint is left out; 0: for none (default 5)",
      ),
    baseEjectionMs: milliseconds(100, 3_600_000)
      .optional()
      .describe(
        "Milliseconds that it is left out for the first time, and twice as long each time after (default 30000)",
      ),
    maxEjectionMs: milliseconds(100, 3_600_000)
      .optional()
      .describe("Longest time that it is left out (default 300000)"),
    maxEjectionPercent: z
      .int()
      .min(0)
      .max(100)
      .optional()
      .describe(
        "Most percent of the endpoints that are left out, but one of two or more may be (default 50)",
      ),
  })
  .optional()
  .describe("How endpoints that fail requests are left out for a while");

const upstream = z.strictObject({
  endpoints,
  balance: z
    .enum(["least-request", "ring-hash"])
    .optional()
    .describe(
      "least-request: the less busy of two at random; ring-hash: requests alike go to the same one (default least-request)",
    ),
  hashOn: fieldName
    .optional()
    .describe(
      "Request field whose value makes requests alike, for ring-hash (default: the client's address)",
    ),
  health,
  outlier,
});

export type UpstreamField = z.output<typeof upstream>;
export type UpstreamsField = Readonly<Record<string, UpstreamField>>;

const upstreams = z
  .record(z.string().regex(namePattern, "must be a name of lower-case letters, digits and dashes"), upstream)
  .superRefine((all, context) => {
    if (Object.keys(all).length > 100)
      context.addIssue({ code: "custom", message: "must name at most 100 upstreams" });
  })
  .optional()
  .describe("Upstreams with several endpoints, for routes to name; only the shared policy has them");

/** @param layer whether the document is a layer over another */
export function upstreamsField(layer: boolean): z.ZodType<UpstreamsField | undefined> {
  if (layer) return z.undefined({ error: "only the shared policy names endpoints" }).optional();
  return upstreams;
}

/** Names of the fields below `upstreams`, at any depth. */
export const upstreamFields: readonly string[] = [
  ...Object.keys(upstream.shape),
  "url",
  "zone",
  ...Object.keys(health.unwrap().shape),
  ...Object.keys(outlier.unwrap().shape),
];
