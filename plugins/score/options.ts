// Options of the score plugin.
import { z } from "zod";
import { claimPath } from "../../src/language/claim-path.ts";
import { fieldKey, fieldName } from "../../src/language/field-name.ts";
import { setFieldName } from "../../src/language/set-field.ts";

const sources = [
  "header",
  "claim",
  "segment",
  "method",
  "hour",
  "weekday",
  "addressGroup",
  "rate",
  "constant",
  "missing",
] as const;
export type Source = (typeof sources)[number];

const finite = z.number().refine(Number.isFinite, "must be finite");
const mapped = new Set<Source>(["header", "claim", "segment", "method"]);
const nameOf: Partial<Readonly<Record<Source, z.ZodType>>> = { header: fieldName, claim: claimPath };
const numberOf: Partial<Readonly<Record<Source, z.ZodType>>> = {
  segment: z.int().min(1).max(32),
  addressGroup: z.int().min(2).max(65_536),
  constant: finite,
};

const feature = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(256)
      .describe("The feature's name in the model (`f0`, `f1` … where it has none)."),
    from: z
      .enum(sources)
      .describe(
        "Where its value comes from: a field (`header`), a claim of who calls, a segment of the path, the method, the hour (0 to 23) or weekday (0 = Sunday) in UTC, the group of the client's network, requests of this caller in the last minute at this sidecar (`rate`), a constant, or nowhere.",
      ),
    of: z
      .union([z.string().max(256), finite])
      .optional()
      .describe(
        "Name of the field, path of the claim, number of the segment (from 1), number of address groups, or the constant.",
      ),
    map: z
      .record(z.string().max(256), finite)
      .refine((map) => Object.keys(map).length <= 1_000, "must have at most 1000 texts")
      .optional()
      .describe("Numbers of texts; without it a text is read as a number."),
    otherwise: finite
      .optional()
      .describe(
        "The value where there is none, or none that is known (default: missing, as the model has it).",
      ),
  })
  .superRefine(({ from, of, map }, context) => {
    const add = (path: string, message: string): void =>
      context.addIssue({ code: "custom", path: [path], message });
    const wanted = nameOf[from] ?? numberOf[from];
    if (wanted === undefined && of !== undefined) add("of", `means nothing for ${from}`);
    if (wanted !== undefined && !wanted.safeParse(of).success) add("of", `is not what ${from} takes`);
    if (map !== undefined && !mapped.has(from)) add("map", `means nothing for ${from}`);
    if (from === "method" && map === undefined) add("map", "must say which number a method is");
  });

const act = z
  .strictObject({
    above: finite.describe("Scores greater than this."),
    do: z
      .enum(["reject", "limit", "tag"])
      .describe(
        "Refuse with 403, let so many a minute of one caller through (else 429), or tell the service.",
      ),
    perMinute: z.int().min(1).max(1_000_000).optional().describe("How many a minute `limit` lets through."),
    tag: z
      .string()
      .regex(/^[\x21-\x7e]{1,64}$/, "must be visible ASCII")
      .default("high")
      .describe("What `tagField` says then; that of the highest `above` counts."),
  })
  .superRefine((one, context) => {
    if ((one.do === "limit") === (one.perMinute !== undefined)) return;
    context.addIssue({ code: "custom", path: ["perMinute"], message: "belongs to limit, which needs it" });
  });

export const scoreOptions = z
  .strictObject({
    model: z
      .strictObject({
        name: z
          .string()
          .regex(
            /^[a-z][a-z0-9-]{0,62}@[0-9A-Za-z.+-]{1,64}$/,
            "must be a name and a version, such as fraud@3",
          )
          .describe("Name and version: the key `model:<name>` in Redis."),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in 64 lower-case hex digits")
          .describe("Of what is there, as `score publish` tells it: nothing else is taken."),
      })
      .optional()
      .describe("The model; without one nothing is scored."),
    features: z.array(feature).max(512).default([]).describe("Where each feature of the model comes from."),
    output: z
      .strictObject({ field: setFieldName.optional().describe("Field that tells the service the score.") })
      .prefault({})
      .describe("Where the score goes, beside log and metrics."),
    tagField: setFieldName.default("X-Risk").describe("Field that tells the service of a `tag`."),
    act: z.array(act).max(16).default([]).describe("What is done about scores."),
    shadow: z
      .boolean()
      .default(true)
      .describe("Only counts and logs: requests are as they would be without the plugin."),
    budgetMicros: z
      .int()
      .min(1)
      .max(10_000)
      .default(200)
      .describe(
        "Longest time that the trees may take for one request, as reckoned when the model is set up.",
      ),
  })
  .superRefine(({ features }, context) => {
    const seen = new Set<string>();
    for (const [i, { name }] of features.entries()) {
      if (seen.has(name))
        context.addIssue({ code: "custom", path: ["features", i, "name"], message: "is there twice" });
      seen.add(name);
    }
  });

export type ScoreOptions = z.output<typeof scoreOptions>;
export type FeatureOptions = ScoreOptions["features"][number];

/** @returns the fields that tell the service something, in the form of `fieldKey` */
export function fieldsOf({
  output,
  tagField,
  act: acts,
}: Pick<ScoreOptions, "output" | "tagField" | "act">): string[] {
  const tags = acts.some((each) => each.do === "tag") ? [tagField] : [];
  return [...(output.field === undefined ? [] : [output.field]), ...tags].map(fieldKey);
}
