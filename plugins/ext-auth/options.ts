// Options of the ext-auth plugin.
import { z } from "zod";
import { milliseconds, seconds } from "../../src/language/duration.ts";
import { fieldKey, fieldNameSource } from "../../src/language/field-name.ts";
import { messageFields } from "../../src/language/field-sets.ts";
import { httpUrl, isSafeUrl } from "../../src/language/safe-url.ts";
import { secretName } from "../../src/language/secret-name.ts";
import { setFieldName } from "../../src/language/set-field.ts";

const facts = ["method", "path", "upstreamPath", "query", "host", "scheme", "clientIp", "route", "identity"];

const sourcePattern = new RegExp(`^(?:${facts.join("|")}|header:${fieldNameSource})$`);

/** A part of the request: one of `facts`, or `header:<name>` with the name as `fieldKey` spells it. */
const source = z
  .string()
  .regex(sourcePattern, `must be ${facts.join(", ")} or header:<name>`)
  .overwrite((text) => (text.startsWith("header:") ? fieldKey(text) : text))
  .refine((text) => !messageFields.includes(text.slice("header:".length)), {
    error: "frames the message or belongs to the connection",
  });

const place = z.string().regex(/^[\x21-\x7e]{1,128}$/, "must be visible ASCII");

const identityOptions = z.strictObject({
  userId: place.describe("Where the user's id is; an answer without it leaves the caller as it was."),
  plan: place.optional().describe("Where the plan is."),
  scopes: place.optional().describe("Where the scopes are: words in a text, or a list."),
  roles: place.optional().describe("Where the roles are, likewise."),
});

const cacheOptions = z
  .strictObject({
    by: z
      .array(source)
      .max(16)
      .default([])
      .describe("Parts of the request, as in `input`: those that are alike in all of these share an answer."),
    ttlSeconds: seconds(0, 3_600)
      .default(0)
      .describe("How long an answer counts, a refusal too; 0: each request is asked about."),
    entries: z
      .int()
      .min(1)
      .max(10_000)
      .default(1_000)
      .describe("Answers kept on each route; the least recently used go first."),
  })
  .superRefine(({ by, ttlSeconds }, context) => {
    if (ttlSeconds === 0 || by.length > 0) return;
    context.addIssue({ code: "custom", path: ["by"], message: "must say which requests share an answer" });
  })
  .prefault({})
  .describe("Which answers are kept.");

export const extAuthOptions = z
  .strictObject({
    url: httpUrl
      .optional()
      .describe("Who is asked: https, or http to this machine. With `opa` a rule's: `/v1/data/app/allow`."),
    protocol: z
      .enum(["http", "opa"])
      .default("http")
      .describe("How: a GET that its status answers, or OPA's POST of an `input` document."),
    allowPlainHttp: z
      .boolean()
      .default(false)
      .describe("Lets `url` be http to other machines: whoever is on the way reads questions and answers."),
    token: secretName
      .optional()
      .describe("Secret (`SECRET_…`) that the endpoint is shown as a bearer token."),
    input: z
      .array(source)
      .min(1)
      .max(32)
      .default(["method", "path", "host", "identity"])
      .describe(
        `What it is told: ${facts.map((each) => `\`${each}\``).join(", ")}, \`header:<name>\`. A field there counts as a credential.`,
      ),
    fields: z
      .array(setFieldName)
      .max(32)
      .default([])
      .describe("Fields to the service that its answer may set; no client may send them, on any route."),
    identity: identityOptions
      .optional()
      .describe(
        "Where its answer says who calls: names of fields, with `opa` members (`user.id`) of the result.",
      ),
    statuses: z
      .array(z.literal([401, 403, 404]))
      .min(1)
      .default([401, 403])
      .describe("Statuses with which it may refuse; whatever else is no answer."),
    challenge: z
      .string()
      .regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/, "must be printable ASCII")
      .default("Bearer")
      .describe("`WWW-Authenticate` of a 401."),
    timeoutMs: milliseconds(10, 10_000).default(1_000).describe("Longest wait for an answer; then 503."),
    cache: cacheOptions,
  })
  .superRefine(({ url, allowPlainHttp, protocol, token, input }, context) => {
    const refuse = (option: string, message: string): void =>
      context.addIssue({ code: "custom", path: [option], message });
    if (url !== undefined && !allowPlainHttp && !isSafeUrl(url))
      refuse("url", "must be https; plain http to another machine takes allowPlainHttp");
    if (protocol === "http" && token !== undefined && input.includes("header:authorization"))
      refuse("token", "and the client's Authorization cannot both be sent");
  });

export type ExtAuthOptions = z.output<typeof extAuthOptions>;
