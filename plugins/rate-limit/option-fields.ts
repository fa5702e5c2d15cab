// Schema parts shared by several options of rate-limit.
import { z } from "zod";
import { claimPathSource } from "../../src/language/claim-path.ts";
import { fieldNameSource } from "../../src/language/field-name.ts";

const maxBy = 300;
const byPattern = new RegExp(
  `^(?:ip|subject|apiKey|plan|route|service|header:${fieldNameSource}|claim:${claimPathSource})$`,
  "u",
);
const byPart = z
  .string()
  .max(maxBy)
  .regex(byPattern, "expected ip, subject, apiKey, plan, route, service, header:<name> or claim:<path>");
export const by = z
  .union([byPart, z.array(byPart).min(1).max(5)])
  .describe(
    "What callers are told apart by: ip, subject, apiKey, plan, route, service, header:<name>, claim:<path>, or a list of these combined.",
  );

export const planName = z.string().min(1).max(64);
