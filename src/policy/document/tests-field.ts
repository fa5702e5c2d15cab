// The document's field `tests`: requests with the outcome that each must have. The policy must pass them before it is
// in force.
import { z } from "zod";
import { parseSpiffeId } from "../../language/spiffe-id.ts";
import { fieldKey, writtenFieldName } from "../../language/field-name.ts";
import { methodName } from "../../language/methods.ts";

const maxTests = 200;

/** Fields by name: the value, or one value a line. */
export type TestFields = Readonly<Record<string, string | readonly string[]>>;
/** Fields by name: the combined value; null = the field must be absent. */
export type ExpectedFields = Readonly<Record<string, string | null>>;

/** The caller of a test's request, as if a plugin had established it. */
export interface TestIdentity {
  readonly userId: string;
  readonly plan?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly roles?: readonly string[] | undefined;
  readonly issuer?: string | undefined;
  readonly method?: string | undefined;
  readonly credentialId?: string | undefined;
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

export interface PolicyTest {
  readonly name: string;
  readonly services?: readonly string[] | undefined;
  readonly request: {
    readonly method?: string | undefined;
    readonly path: string;
    readonly headers?: TestFields | undefined;
    readonly identity?: TestIdentity | undefined;
    readonly peer?: string | undefined;
  };
  readonly upstream?:
    | {
        readonly status?: number | undefined;
        readonly headers?: TestFields | undefined;
        readonly body?: string | undefined;
      }
    | undefined;
  readonly expect: {
    readonly route?: string | null | undefined;
    readonly status?: number | undefined;
    readonly plugin?: string | null | undefined;
    readonly headers?: ExpectedFields | undefined;
    readonly upstreamHeaders?: ExpectedFields | undefined;
  };
}

const fieldValue = z
  .string()
  .max(8_192)
  .regex(/^(?![ \t])[\t\x20-\x7e\x80-\xff]*(?<![ \t])$/, "must be what a field can hold");
const maxFields = 100;

function fieldsOf<Value extends z.ZodType>(value: Value) {
  return z
    .record(writtenFieldName, value)
    .refine((fields) => Object.keys(fields).length <= maxFields, `at most ${maxFields} fields`);
}

/** A test's request has no body, and the length of an answer is computed. */
const framing = new Set(["content-length", "transfer-encoding", "trailer"]);

const sentFields = fieldsOf(z.union([fieldValue, z.array(fieldValue).min(1).max(50)])).superRefine(
  (fields, context) => {
    for (const name of Object.keys(fields)) {
      if (framing.has(fieldKey(name)))
        context.addIssue({ code: "custom", path: [name], message: "comes by itself: leave it out" });
    }
  },
);
const expectedFields = fieldsOf(z.union([z.string().max(8_192), z.null()]));

const names = z.array(z.string().max(256)).max(1_000);

const identity = z
  .strictObject({
    userId: z.string().min(1).max(1_024).describe("Id of the caller"),
    plan: z.string().max(256).optional().describe("Its plan (default: none)"),
    scopes: names.optional().describe("Its scopes (default: none)"),
    roles: names.optional().describe("Its roles (default: none)"),
    issuer: z.string().max(2_048).optional().describe("Who vouches for it (default: the policy itself)"),
    method: z
      .string()
      .regex(/^[a-z][a-z-]{0,31}$/)
      .optional()
      .describe("How it has shown itself: api-key, jwt, session … (default jwt)"),
    credentialId: z.string().max(1_024).optional().describe("Id of its credential (default: none)"),
    claims: z.record(z.string(), z.unknown()).optional().describe("Its claims (default: none)"),
  })
  .describe("Who it is from, in place of a credential (default: what its headers show)");

const request = z.strictObject({
  method: methodName.optional().describe("Its method (default GET)"),
  path: z
    .string()
    .max(8_192)
    .regex(/^(?:\/|\*$)/, "must begin with /")
    .describe("Path, with a query where there is one"),
  headers: sentFields.optional().describe("Fields of the request; a list is a field of several lines"),
  identity: identity.optional(),
  peer: z
    .string()
    .refine(
      (text) => parseSpiffeId(text) !== undefined,
      "must be a SPIFFE id, such as spiffe://example.org/orders",
    )
    .optional()
    .describe("SPIFFE id that the client's certificate proves (default: it shows none)"),
});

const upstream = z
  .strictObject({
    status: z.int().min(200).max(599).optional().describe("Its status (default 200)"),
    headers: sentFields.optional().describe("Its fields (default: none)"),
    body: z.string().max(65_536).optional().describe("Its body (default: empty)"),
  })
  .describe("What the service answers, should it be asked");

const expect = z
  .strictObject({
    route: z.string().nullable().optional().describe("Path of the route that takes it; null = none does"),
    status: z.int().min(200).max(599).optional().describe("Status of the answer"),
    plugin: z
      .string()
      .nullable()
      .optional()
      .describe(
        "The plugin that answers or refuses; null = none does: it is the service's answer or the sidecar's own",
      ),
    headers: expectedFields.optional().describe("Fields of the answer; null = it must not have it"),
    upstreamHeaders: expectedFields
      .optional()
      .describe("Fields that the service gets; null = it must not get it; any other value: it must be asked"),
  })
  .refine((expected) => Object.keys(expected).length > 0, "must say what is expected")
  .describe("What must become of it; what is not named may be anything");

const policyTest = z.strictObject({
  name: z
    .string()
    .max(200)
    // oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
    .regex(/^(?=.*\S)[^\x00-\x1f\x7f]*$/, "must be a line of text")
    .describe("What it holds, in a few words: what a policy that fails it is refused with"),
  services: z
    .array(z.string().min(1).max(128))
    .min(1)
    .optional()
    .describe(
      "Services that it is for. Absent: those that have the route it names, or else the one it takes",
    ),
  request: request.describe("The request"),
  upstream: upstream.optional(),
  expect,
});

export const tests = z
  .array(policyTest)
  .max(maxTests)
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, { name }] of list.entries()) {
      if (seen.has(name))
        context.addIssue({ code: "custom", path: [index, "name"], message: "another test has that name" });
      seen.add(name);
    }
  })
  .optional()
  .describe(
    "Requests with what must become of them: a policy that fails one is not put in force (default: none)",
  );
