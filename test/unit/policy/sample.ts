// Plugins with small options schemas for the policy's tests, and short ways to read documents with them.
import assert from "node:assert/strict";
import { z } from "zod";
import { isUpstreamAllowed } from "../../../src/config/formats.ts";
import { type PolicyFormat, createPolicyParser } from "../../../src/policy/document/parse.ts";
import { PolicyRefused, type Problem } from "../../../src/policy/document/problems.ts";
import { type EffectivePolicy, createPolicyReader } from "../../../src/policy/read.ts";
import type { PolicyDocument, PolicyPlugins } from "../../../src/policy/document/schema.ts";

export const samplePlugins: PolicyPlugins = {
  logging: {
    security: false,
    options: z.strictObject({ level: z.enum(["debug", "info"]).default("info").describe("Level") }),
  },
  transform: {
    security: false,
    options: z.strictObject({
      addHeaders: z.record(z.string(), z.string()).default({}).describe("Fields to set"),
    }),
  },
  auth: {
    security: true,
    options: z.strictObject({
      required: z.boolean().default(true).describe("Refuse the anonymous"),
      exclude: z.array(z.string()).default([]).describe("Open paths"),
      jwt: z
        .strictObject({
          issuer: z.string().optional().describe("Issuer"),
          audience: z.array(z.string()).optional().describe("Audience"),
        })
        .optional()
        .describe("Tokens"),
    }),
  },
  cache: {
    security: false,
    options: z.strictObject({
      ttlSeconds: z.int().min(0).default(60).describe("Seconds"),
      scope: z
        .union([z.enum(["shared", "user"]), z.strictObject({ by: z.string() })])
        .optional()
        .describe("Scope"),
    }),
  },
};

const parse = createPolicyParser({
  plugins: samplePlugins,
  isUpstreamAllowed: (target) => isUpstreamAllowed(target, []),
});

export function parseText(text: string | Uint8Array, format: PolicyFormat = "json"): PolicyDocument {
  return parse(typeof text === "string" ? Buffer.from(text) : text, format).document;
}

export function documentOf(members: object): PolicyDocument {
  return parseText(JSON.stringify({ apiVersion: "outrigger/v1", ...members }));
}

/** The problems of a refusal; fails when it was taken. */
export async function problemsOf(attempt: () => unknown): Promise<readonly Problem[]> {
  let refusal: unknown;
  try {
    await attempt();
  } catch (error) {
    refusal = error;
  }
  assert.ok(refusal instanceof PolicyRefused, `not refused as a policy: ${String(refusal)}`);
  return refusal.problems;
}

/** `path: message` of each. */
export async function saidOf(attempt: () => unknown): Promise<string[]> {
  return (await problemsOf(attempt)).map(({ path, message }) => `${path}: ${message}`);
}

export interface ReadOptions {
  readonly service?: string | undefined;
  readonly plugins?: PolicyPlugins;
}

export async function effective(
  shared: object | string,
  layer?: object,
  options: ReadOptions = {},
): Promise<EffectivePolicy> {
  const { service = "users", plugins = samplePlugins } = options;
  const read = await createPolicyReader({ plugins, service, upstreamAllow: undefined, keys: undefined });
  return read({
    shared: Buffer.from(typeof shared === "string" ? shared : text(shared)),
    layer: layer === undefined ? undefined : Buffer.from(text(layer)),
    format: "any",
  });
}

export function text(members: object): string {
  return JSON.stringify({ apiVersion: "outrigger/v1", ...members });
}
