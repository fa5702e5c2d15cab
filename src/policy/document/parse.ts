// Parses untrusted bytes into a policy document, or throws every problem with it. The options of plugins are checked
// later, once they are merged (routes.ts).
import type { z } from "zod";
import { readJson } from "./json.ts";
import {
  maxProblems,
  type Path,
  type Problem,
  PolicyRefused,
  pathText,
  quoted,
  unknownName,
} from "./problems.ts";
import { extensionFields, extensionNames, extensionsUsed } from "./extensions-field.ts";
import type { PositionedDocument } from "./positioned-builder.ts";
import { type PolicyDocument, type SchemaOptions, documentSchema } from "./schema.ts";
import { retryFields } from "./retry-field.ts";
import { upstreamFields } from "./upstreams-field.ts";
import { readYaml } from "./yaml.ts";

export const defaultMaxBytes = 1_048_576;

/** `any`: JSON when the text starts with `{`, else YAML. */
export type PolicyFormat = "json" | "yaml" | "any";

export interface ParseOptions extends Omit<SchemaOptions, "extensions" | "layer"> {
  /** Longest document in bytes. Default 1 MiB. */
  readonly maxBytes?: number | undefined;
}

/** A document that can tell where its fields stand, for problems that are found later. */
export interface ParsedPolicy {
  readonly document: PolicyDocument;
  readonly locate: PositionedDocument["locate"];
}

/** Throws PolicyRefused with all problems of the document. */
export interface PolicyParser {
  (bytes: Uint8Array, format: PolicyFormat): ParsedPolicy;
  /**
   * Parses a layer. @param extensions names of the shared document's extensions; undefined = those that the layer names
   */
  layer(bytes: Uint8Array, format: PolicyFormat, extensions: readonly string[] | undefined): ParsedPolicy;
}

/** Builds the parser for a set of built-in plugins; the schema for documents without extensions is made once. */
export function createPolicyParser(options: ParseOptions): PolicyParser {
  const { maxBytes = defaultMaxBytes, plugins } = options;
  const builtIn = Object.keys(plugins);
  const schemas = { shared: schemasOf(options, false), layer: schemasOf(options, true) };
  const parse = (
    reading: PositionedDocument,
    schemaOf: (extensions: readonly string[]) => z.ZodType<PolicyDocument>,
    extensions: readonly string[],
  ): ParsedPolicy => {
    const result = schemaOf(extensions).safeParse(reading.value);
    if (result.success && reading.problems.length === 0) {
      return { document: result.data, locate: (path) => reading.locate(path) };
    }
    const issues = result.success ? [] : flatten(result.error.issues).slice(0, maxProblems);
    throw new PolicyRefused([
      ...reading.problems,
      ...issues.map(({ path, message, unknownKey }) => ({
        path: pathText(path),
        message:
          unknownKey === undefined ? message : unknownField(path, unknownKey, [...builtIn, ...extensions]),
        ...reading.locate(path),
      })),
    ]);
  };
  const read = (bytes: Uint8Array, format: PolicyFormat): PositionedDocument =>
    readText(decode(bytes, maxBytes), format);
  const parseShared = (bytes: Uint8Array, format: PolicyFormat): ParsedPolicy => {
    const reading = read(bytes, format);
    return parse(reading, schemas.shared, extensionNames(reading.value, builtIn));
  };
  return Object.assign(parseShared, {
    layer(bytes: Uint8Array, format: PolicyFormat, extensions: readonly string[] | undefined) {
      const reading = read(bytes, format);
      return parse(reading, schemas.layer, extensions ?? extensionsUsed(reading.value, builtIn));
    },
  });
}

/**
 * @returns a function that gives the schema for documents with extensions of these names. It keeps the last, for polls.
 */
function schemasOf(
  options: ParseOptions,
  layer: boolean,
): (extensions: readonly string[]) => z.ZodType<PolicyDocument> {
  let none: z.ZodType<PolicyDocument> | undefined;
  let last: { readonly names: string; readonly schema: z.ZodType<PolicyDocument> } | undefined;
  return (extensions) => {
    if (extensions.length === 0) return (none ??= documentSchema({ ...options, layer }));
    const names = extensions.join();
    if (last?.names !== names) last = { names, schema: documentSchema({ ...options, layer, extensions }) };
    return last.schema;
  };
}

function decode(bytes: Uint8Array, maxBytes: number): string {
  if (bytes.byteLength > maxBytes) {
    throw refused(`is ${bytes.byteLength} bytes long; at most ${maxBytes} are taken`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("is not UTF-8");
  }
  if (text.trim() === "") throw refused("is empty");
  return text;
}

function readText(text: string, format: PolicyFormat): PositionedDocument {
  return isJson(text, format) ? readJson(text) : readYaml(text);
}

function isJson(text: string, format: PolicyFormat): boolean {
  return format === "json" || (format === "any" && text.trimStart().startsWith("{"));
}

/** Whether the document would be read as JSON, judged by its first 1024 bytes. */
export function isJsonText(bytes: Uint8Array, format: PolicyFormat): boolean {
  return isJson(Buffer.from(bytes.subarray(0, 1024)).toString("latin1"), format);
}

/** @returns a problem with a document as a whole */
export function refused(message: string): PolicyRefused {
  return new PolicyRefused([{ path: "", message }]);
}

interface FieldIssue {
  readonly path: Path;
  readonly message: string;
  /** The last part of the path is a field that the schema does not know. */
  readonly unknownKey?: string;
}

/**
 * Flattens zod's issues to one flaw a field. An unknown field gets its own path. Of a union, the branch that matched
 * furthest is shown.
 */
export function flatten(issues: readonly z.core.$ZodIssue[], base: Path = []): FieldIssue[] {
  return issues.flatMap((issue): FieldIssue[] => {
    const path = [...base, ...issue.path];
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown field ${quoted(key)}`,
        unknownKey: key,
      }));
    }
    if (issue.code === "invalid_key") return flatten(issue.issues, path);
    const [closest] =
      issue.code === "invalid_union" ? issue.errors.toSorted((a, b) => reach(b) - reach(a)) : [];
    if (closest !== undefined && reach(closest) > 0) return flatten(closest, path);
    return [{ path, message: plainly(issue) }];
  });
}

function reach(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map(({ path, code }) => path.length + (code === "unrecognized_keys" ? 1 : 0)));
}

const bounds: Readonly<Record<string, string>> = {
  ">=": "at least ",
  "<=": "at most ",
  ">": "more than ",
  "<": "less than ",
};

/**
 * Rewords zod's messages, such as "Invalid input: expected string, received undefined" for a missing field, and "Too
 * small: expected number to be >=0".
 */
function plainly(issue: z.core.$ZodIssue): string {
  return issue.message
    .replace(
      /^Too (?:big|small): expected \w+ to (be|have) ([<>]=?)/,
      (_, verb: string, sign: string) => `must ${verb} ${bounds[sign] ?? sign}`,
    )
    .replace(/^Invalid input: (.*), received undefined$/, "is missing: $1")
    .replace(/^(?:Invalid input|Invalid option|Invalid string): /, "");
}

const documentFields = [
  "apiVersion",
  "extensions",
  "plugins",
  "pluginConfig",
  "locked",
  "routes",
  "upstreams",
  "tracing",
  "audit",
  "lint",
  "tests",
];
const routeFields = [
  "path",
  "methods",
  "services",
  "plugins",
  "pluginConfig",
  "stripPrefix",
  "timeout",
  "maxAgeMs",
  "maxIdleMs",
  "maxMessagesPerSecond",
  "upstream",
  "caseInsensitive",
  "encodedSlash",
  "bufferRequestBytes",
  "restorePrefix",
  "upstreamProtocol",
  "retry",
  "tracing",
];

const testFields = [
  "name",
  "services",
  "request",
  "method",
  "path",
  "headers",
  "identity",
  "upstream",
  "status",
  "body",
  "expect",
  "route",
  "plugin",
  "upstreamHeaders",
];

function unknownField(path: Path, key: string, plugins: readonly string[]): string {
  if (path.at(-2) === "pluginConfig") return unknownName("unknown plugin", key, plugins);
  if (path.at(-2) === "retry") return unknownName("unknown field", key, retryFields);
  if (path[0] === "upstreams") return unknownName("unknown field", key, upstreamFields);
  const known = path[0] === "tests" ? testFields : path[0] === "extensions" ? extensionFields : routeFields;
  return unknownName("unknown field", key, path.length === 1 ? documentFields : known);
}

/** @returns the problem with the place of its field in the source text */
export function placed(
  problem: { path: Path; message: string },
  parsed: ParsedPolicy,
  document?: string,
): Problem {
  return {
    path: pathText(problem.path),
    message: problem.message,
    ...(document === undefined ? {} : { document }),
    ...parsed.locate(problem.path),
  };
}
