// A package's manifest: its identity, its place in the chain, and what it needs. A plugin gets nothing that its
// manifest does not ask for.
import semver from "semver";
import { z } from "zod";
import { byteSize } from "../language/byte-size.ts";
import { fieldNameSource } from "../language/field-name.ts";
import { term } from "../language/terms.ts";
import { hookNames } from "../plugin-api/hook-names.ts";
import { ownMetricLike } from "./own-metrics.ts";

/** Version of this sidecar's plugin contract; a manifest's `apiVersion` is a range that must include it. */
export const contractVersion = "1.0.0";

export const extensionName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and -, and begin with a letter")
  .refine((name) => ownMetricLike(name) === undefined, {
    error: ({ input }) =>
      `is reserved: the plugin's metrics could pass for the sidecar's ${ownMetricLike(String(input))}`,
  });
export const exactVersion = z
  .string()
  .max(64)
  .refine((text) => semver.valid(text) === text, "must be a version as semver.org has it, such as 1.2.0");
export const versionRange = z
  .string()
  .max(128)
  .refine((text) => semver.validRange(text) !== null, "must be a range of versions, such as ^1.2.0");

/** In lower case; * = all fields. */
const shownField = term(
  "field name",
  z
    .string()
    .regex(new RegExp(`^(?:\\*|${fieldNameSource})$`), "must be a field's name, or *")
    .refine((name) => name === name.toLowerCase(), "must be in lower case"),
);
const fieldNames = z.array(shownField).max(256);
const bytes = byteSize(1, 16_777_216);

/** What a plugin asks for; anything not listed here is not granted. */
export const needs = z.strictObject({
  secrets: z
    .array(z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/))
    .max(32)
    .default([])
    .describe("Secrets that it reads, by name"),
  keys: z
    .array(z.string().min(1).max(128))
    .max(32)
    .default([])
    .describe("Keys of the store besides its own: whole ones, or prefixes that end in a colon"),
  hosts: z
    .array(z.string().regex(/^(\*\.)?[a-z0-9.[\]-]{1,253}(:\d{1,5})?$/i))
    .max(64)
    .default([])
    .describe("Hosts, host:port or *.suffix:port, that its calls may go to"),
  readFields: fieldNames
    .default(["*"])
    .describe("Names of header fields, in lower case, that it is shown; * = all"),
  writeFields: fieldNames
    .default(["*"])
    .describe("Names of header fields, in lower case, that it may set or remove; * = all"),
  body: z
    .strictObject({
      requestBytes: bytes.optional().describe("Longest request body that it is given (default: none is)"),
      responseBytes: bytes.optional().describe("Longest response body that it is given (default: none is)"),
    })
    .default({})
    .describe("Bodies that it is given, and up to which length"),
  database: z
    .string()
    .regex(/^SECRET_[A-Z0-9_]{1,57}$/)
    .optional()
    .describe("Secret that holds the URL of its PostgreSQL database (default: it has none)"),
  memoryMiB: z.int().min(1).max(1_024).default(32).describe("Memory that it may take"),
  httpCallsPerSecond: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe("Calls over HTTP that it may make in a second, and save up (default: 200)"),
  timeMicros: z
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe(
      "Time that it may take for a request, on average, before it is over its budget (default: no budget)",
    ),
});

export const manifest = z.strictObject({
  name: extensionName.describe("Its name, in policies too"),
  version: exactVersion.describe("Its version"),
  apiVersion: versionRange.default("^1.0.0").describe("Versions of the plugin contract that it works with"),
  description: z.string().max(500).default("").describe("What it does, in one sentence"),
  priority: z
    .int()
    .min(0)
    .max(1_000)
    .default(30)
    .describe("Its place in the chain: lowest first on the request"),
  security: z
    .boolean()
    .default(false)
    .describe("Whether it decides who gets in: it always fails closed then"),
  failMode: z
    .enum(["open", "closed"])
    .default("closed")
    .describe("What happens when a hook fails or takes too long"),
  hooks: z
    .array(z.enum(hookNames))
    .default([...hookNames])
    .describe("Hooks that it has"),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("JSON Schema (2020-12) of its options; {} = anything"),
  needs: needs.prefault({}).describe("What it asks for"),
  cost: z
    .strictObject({
      micros: z.number().min(0).describe("Microseconds a request"),
      bytes: z.number().min(0).describe("Bytes of memory a request"),
      measuredWith: z.string().max(200).describe("Runtime and machine"),
    })
    .optional()
    .describe("What outrigger plugin bench measured"),
});

export type Manifest = z.output<typeof manifest>;
export type Needs = Manifest["needs"];
export type RuntimeName = "wasm" | "process" | "trusted";

/** A package with the bytes that the policy pins. */
export interface Package {
  readonly manifest: Manifest;
  /** `wasm`: a WebAssembly module; `js`: a CommonJS bundle. */
  readonly kind: "wasm" | "js";
  /** The whole file, manifest included. */
  readonly bytes: Buffer;
  /** SHA-256 of `bytes`, hex. */
  readonly sha256: string;
}
