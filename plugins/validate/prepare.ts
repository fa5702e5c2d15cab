// Prepares schemas for compilation: marks references to be counted, and closes objects to undeclared members.

/** A private keyword, added next to each reference: it counts how often references are followed. */
export const stepKeyword = "x-outrigger-step";

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Where a schema contains schemas (2020-12 core, section 10). true = about another value than the outer one. */
const maps: Readonly<Record<string, boolean>> = {
  properties: true,
  patternProperties: true,
  $defs: false,
  definitions: false,
  dependentSchemas: false,
};
const lists: Readonly<Record<string, boolean>> = {
  allOf: false,
  anyOf: false,
  oneOf: false,
  prefixItems: true,
};
const singles: ReadonlyMap<string, boolean> = new Map([
  ["items", true],
  ["additionalProperties", true],
  ["unevaluatedItems", true],
  ["unevaluatedProperties", true],
  ["propertyNames", false],
  ["contains", false],
  ["not", false],
  ["if", false],
  ["then", false],
  ["else", false],
]);

export interface Preparation {
  /** Where references are looked up. */
  readonly document: Json;
  /** Whether objects accept only declared members. */
  readonly closed: boolean;
}

/** @param closes whether no other schema says something about the same value */
export function prepareSchema(schema: unknown, how: Preparation, closes: boolean): unknown {
  if (!isObject(schema)) return schema;
  const entries = Object.entries(schema).map(([name, value]): [string, unknown] => {
    if (Object.hasOwn(maps, name) && isObject(value)) {
      const within = Object.entries(value).map(([key, inner]): [string, unknown] => [
        key,
        prepareSchema(inner, how, maps[name] === true),
      ]);
      return [name, Object.fromEntries(within)];
    }
    if (Object.hasOwn(lists, name) && Array.isArray(value))
      return [name, value.map((inner) => prepareSchema(inner, how, lists[name] === true))];
    if (singles.has(name)) return [name, prepareSchema(value, how, singles.get(name) === true)];
    return [name, value];
  });
  const isReference = Object.hasOwn(schema, "$ref") || Object.hasOwn(schema, "$dynamicRef");
  if (isReference) entries.push([stepKeyword, true]);
  const open =
    Object.hasOwn(schema, "additionalProperties") || Object.hasOwn(schema, "unevaluatedProperties");
  if (how.closed && closes && !open && declaresMembers(schema, how.document, new Set()))
    entries.push(["unevaluatedProperties", false]);
  return Object.fromEntries(entries);
}

/** Whether a schema declares members of its object. An object without declared members accepts any. */
function declaresMembers(schema: unknown, document: Json, seen: Set<unknown>): boolean {
  if (!isObject(schema) || seen.has(schema)) return false;
  seen.add(schema);
  if (isObject(schema["properties"])) return true;
  const target = pointerOf(schema["$ref"]);
  const parts = [
    target === undefined ? undefined : lookUp(document, target),
    ...["allOf", "anyOf", "oneOf"].flatMap((name) => schema[name] ?? []),
    ...["if", "then", "else"].map((name) => schema[name]),
  ];
  return parts.some((part) => declaresMembers(part, document, seen));
}

/** @param pointer a JSON Pointer @returns undefined when nothing is there */
export function lookUp(document: unknown, pointer: string): unknown {
  let value = document;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Json)[name];
  }
  return value;
}

/** @returns the JSON Pointer of a reference within the document (RFC 6901 section 6); undefined for any other */
export function pointerOf(reference: unknown): string | undefined {
  if (typeof reference !== "string" || !/^#(?:\/|$)/.test(reference)) return undefined;
  try {
    return decodeURIComponent(reference.slice(1));
  } catch {
    return undefined;
  }
}
