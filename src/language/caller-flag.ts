// Defines a feature flag: for which callers a plugin's configuration applies. It stands under `flag`, beside the
// plugin's own options. Without it the configuration applies to everybody.
import { z } from "zod";

const word = z.string().min(1).max(256);
const oneOf = word.or(z.array(word).min(1).max(100));
const saysSomething = (fields: object): boolean => Object.keys(fields).length > 0;

const when = z
  .strictObject({
    plan: oneOf.optional().describe("Callers of this plan, or one of these"),
    roles: oneOf.optional().describe("Callers with this role, or one of these"),
    scopes: oneOf.optional().describe("Callers with this scope, or one of these"),
  })
  .refine(saysSomething, "says nothing: name plan, roles or scopes")
  .describe("Callers of whom all of this holds (default: all)");

export const callerFlag = z
  .strictObject({
    percent: z
      .number()
      .min(0)
      .max(100)
      .optional()
      .describe("Share of these callers, always the same ones (default: all)"),
    when: when.optional(),
  })
  .refine(saysSomething, "says nothing: name percent or when")
  .describe("Callers that the plugin runs for (default: all)");

export type CallerFlag = z.output<typeof callerFlag>;
