// Compiles JSON Schemas (2020-12) with ajv so that no client text takes long to check: linear patterns, bounded
// recursion, equality by comparing canonical texts.
import type { SchemaValidateFunction } from "ajv/dist/types/index.js";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { textOf } from "../../src/plugin-api/contract.ts";
import { numberFormats, textFormats } from "./formats.ts";
import { below, type Flaw } from "./json-body.ts";
import { compilePattern } from "./patterns/pattern.ts";
import { work } from "./patterns/program.ts";
import { lookUp, stepKeyword } from "./prepare.ts";

/** @returns what is wrong with a value; undefined = nothing */
export type Check = (value: unknown) => Flaw | undefined;

/** Budget for one value: pattern steps and references followed. */
const maxWork = 200_000;
const documentId = "outrigger:document";

export class Schemas {
  readonly #document: object;
  readonly #ajv = new Ajv2020({
    strict: false,
    strictNumbers: true,
    allErrors: false,
    ownProperties: true,
    addUsedSchema: false,
    logger: false,
    code: {
      regExp: Object.assign((pattern: string) => compilePattern(pattern), { code: "compilePattern" }),
    },
  });

  /** @param document where references within schemas are looked up */
  constructor(document: object) {
    this.#document = document;
    for (const [name, test] of Object.entries(textFormats)) this.#ajv.addFormat(name, test);
    for (const [name, validate] of Object.entries(numberFormats))
      this.#ajv.addFormat(name, { type: "number", validate });
    this.#ajv.addKeyword({
      keyword: stepKeyword,
      before: "$ref",
      validate: () => {
        work.left -= 1;
        return work.left >= 0;
      },
      errors: false,
    });
    replaceKeywords(this.#ajv);
    this.#ajv.addSchema({ ...document, $id: documentId }, undefined, undefined, false);
  }

  /** @param pointer JSON Pointer of the schema in the document @throws Error that names the place */
  compile(pointer: string): Check {
    let validate: ValidateFunction;
    try {
      void this.#ajv.validateSchema(lookUp(this.#document, pointer) as object, true);
      const fragment = pointer.split("/").map(encodeURIComponent).join("/");
      validate = this.#ajv.compile({ $ref: `${documentId}#${fragment}` });
    } catch (error) {
      throw new Error(`the schema at ${pointer === "" ? "the top" : pointer}: ${textOf(error)}`, {
        cause: error,
      });
    }
    return (value) => {
      work.left = maxWork;
      if (validate(value)) return undefined;
      if (work.left < 0) return { pointer: "", message: "takes too long to be checked" };
      return flawOf(validate.errors?.at(-1));
    };
  }
}

/** Replaces keywords of ajv that take time quadratic in a list's length, or that count characters without need. */
function replaceKeywords(ajv: Ajv2020): void {
  const replace = (
    keyword: string,
    type: "array" | "string",
    message: string,
    validate: SchemaValidateFunction,
  ): void => {
    ajv.removeKeyword(keyword);
    const schemaType = type === "array" ? "boolean" : "number";
    ajv.addKeyword({ keyword, type, schemaType, validate, error: { message } });
  };
  replace(
    "uniqueItems",
    "array",
    "must NOT have duplicate items",
    (unique: boolean, items: readonly unknown[]) =>
      !unique || new Set(items.map(canonical)).size === items.length,
  );
  // A character is one or two UTF-16 units, which mostly decides without counting.
  replace(
    "maxLength",
    "string",
    "must NOT have more characters",
    (limit: number, text: string) => text.length <= limit || characters(text) <= limit,
  );
  replace(
    "minLength",
    "string",
    "must NOT have fewer characters",
    (limit: number, text: string) => text.length >= 2 * limit || characters(text) >= limit,
  );
}

/** Counts Unicode code points, the unit of lengths (2020-12 validation, section 6.3). */
function characters(text: string): number {
  let count = text.length;
  for (let i = 1; i < text.length; i += 1) {
    const isPair = (text.charCodeAt(i) & 0xfc00) === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800;
    if (isPair) count -= 1;
  }
  return count;
}

/** Parameters of ajv's errors that name a member: a missing or unknown member gets its own pointer. */
const namedBy = ["missingProperty", "additionalProperty", "unevaluatedProperty", "propertyName"] as const;

function flawOf(error: ErrorObject | undefined): Flaw {
  if (error === undefined) return { pointer: "", message: "does not fit the schema" };
  const { instancePath, message = "does not fit the schema" } = error;
  const params = error.params as Readonly<Record<string, unknown>>;
  const name = namedBy.map((each) => params[each]).find((each) => typeof each === "string");
  const pointer = instancePath.slice(0, 256);
  if (typeof name !== "string") return { pointer, message };
  if (error.keyword === "required" || error.keyword === "dependentRequired")
    return { pointer: below(pointer, name), message: "is missing" };
  return {
    pointer: below(pointer, name),
    message: error.keyword === "propertyNames" ? message : "is not known",
  };
}

/** Gives the same text for equal JSON values and only for these. Recurses: depth is bounded. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join()}}`;
}
