// Compiles and checks the parameters of an operation (path, query, header, cookie), only in unambiguous styles.
import type { Fields } from "../../../src/plugin-api/contract.ts";
import { below, type Flaw } from "../json-body.ts";
import { isObject, type Json } from "../prepare.ts";
import type { Check } from "../schemas.ts";
import type { Part, Parts } from "./parts.ts";

type Place = "path" | "query" | "header" | "cookie";

interface Parameter {
  readonly name: string;
  readonly required: boolean;
  /** How several values are written; undefined = there is one value. */
  readonly list: "repeated" | "commas" | undefined;
  /** Types of the value, or of a list's items. */
  readonly types: readonly string[];
  readonly check: Check | undefined;
}

export type Parameters = Readonly<Record<Place, ReadonlyMap<string, Parameter>>>;

/** OpenAPI 3.1, Parameter Object: parameters with these names are ignored. */
const ignoredHeaders = new Set(["accept", "content-type", "authorization"]);
const styles: Readonly<Record<Place, string>> = {
  path: "simple",
  query: "form",
  header: "simple",
  cookie: "form",
};

/** @param parts path item, then operation: the operation's parameters override the path item's */
export function compileParameters(
  document: Parts,
  parts: readonly Part[],
  pathNames: readonly string[],
): Parameters {
  const all = { path: new Map(), query: new Map(), header: new Map(), cookie: new Map() } as Record<
    Place,
    Map<string, Parameter>
  >;
  for (const { value, pointer } of parts) {
    const { parameters = [] } = value;
    if (!Array.isArray(parameters)) throw new Error(`${pointer}/parameters: must be a list`);
    for (const [index, written] of (parameters as unknown[]).entries()) {
      const part = document.deref(written, `${pointer}/parameters/${index}`);
      const { name, in: place } = part.value;
      if (typeof name !== "string" || typeof place !== "string" || !Object.hasOwn(styles, place))
        throw new Error(`${part.pointer}: must have a name, and in: path, query, header or cookie`);
      const key = place === "header" ? name.toLowerCase() : name;
      if (place === "header" && ignoredHeaders.has(key)) continue;
      all[place as Place].set(key, compile(document, part, place as Place, name));
    }
  }
  const unknown = [...all.path.keys()].find((name) => !pathNames.includes(name));
  if (unknown !== undefined)
    throw new Error(`${parts.at(-1)?.pointer}: the path has no parameter ${JSON.stringify(unknown)}`);
  return all;
}

function compile(document: Parts, { value, pointer }: Part, place: Place, name: string): Parameter {
  if (value["content"] !== undefined) throw new Error(`${pointer}: content of a parameter is not read`);
  const { style = styles[place], schema } = value;
  if (style !== styles[place]) throw new Error(`${pointer}: the style ${String(style)} is not read`);
  const required = place === "path" || value["required"] === true;
  if (schema === undefined) return { name, required, list: undefined, types: [], check: undefined };
  const check = document.schemas.compile(`${pointer}/schema`);
  const own = typesOf(document, schema, `${pointer}/schema`);
  if (own.types.includes("object")) throw new Error(`${pointer}: an object as a parameter is not read`);
  if (!own.types.includes("array")) return { name, required, list: undefined, types: own.types, check };
  const { explode = styles[place] === "form" } = value;
  const { items = {} } = own.schema;
  const types = typesOf(document, items, `${pointer}/schema/items`).types;
  return {
    name,
    required,
    list: explode === true && place === "query" ? "repeated" : "commas",
    types,
    check,
  };
}

function typesOf(
  document: Parts,
  written: unknown,
  pointer: string,
): { readonly types: readonly string[]; readonly schema: Json } {
  if (!isObject(written)) return { types: [], schema: {} };
  const schema = document.deref(written, pointer).value;
  const { type = [] } = schema;
  return { types: [type].flat().map(String), schema };
}

export interface ParameterFlaw extends Flaw {
  readonly in: Place;
}

interface Request {
  readonly path: readonly string[];
  readonly query: string;
  readonly fields: Fields;
}

/** @returns the first flaw; undefined = none */
export function checkParameters(
  { path, query, fields }: Request,
  parameters: Parameters,
  pathNames: readonly string[],
): ParameterFlaw | undefined {
  for (const [index, name] of pathNames.entries()) {
    const parameter = parameters.path.get(name);
    const found = checkOne(parameter, decoded(path[index] as string, false, parameter), "path");
    if (found !== undefined) return found;
  }
  const given = queryOf(query, parameters.query);
  if (given === undefined) return { in: "query", pointer: "", message: "can be read in several ways" };
  for (const name of given.keys()) {
    if (!parameters.query.has(name))
      return { in: "query", pointer: below("", name), message: "is not known" };
  }
  for (const parameter of parameters.query.values()) {
    const found = checkOne(parameter, given.get(parameter.name), "query");
    if (found !== undefined) return found;
  }
  for (const [key, parameter] of parameters.header) {
    const lines = fields.getAll(key);
    const found = checkOne(parameter, lines.length === 0 ? undefined : lines, "header");
    if (found !== undefined) return found;
  }
  if (parameters.cookie.size === 0) return undefined;
  const cookies = cookiesOf(fields.get("cookie") ?? "");
  for (const parameter of parameters.cookie.values()) {
    const values = cookies.get(parameter.name);
    const found = checkOne(parameter, values, "cookie") ?? checkOne(parameter, unescaped(values), "cookie");
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Cookie values as services read them that take them for percent-encoded. Both readings must pass the check. */
function unescaped(values: readonly string[] | undefined): string[] | undefined {
  return values?.map((text) => (text.includes("%") ? (decoded(text, false) ?? text) : text));
}

/** @param given null = can be read in several ways */
function checkOne(
  parameter: Parameter | undefined,
  given: string | readonly string[] | null | undefined,
  place: Place,
): ParameterFlaw | undefined {
  if (parameter === undefined) return undefined;
  const pointer = below("", parameter.name);
  if (given === undefined)
    return parameter.required ? { in: place, pointer, message: "is missing" } : undefined;
  if (given === null) return { in: place, pointer, message: "can be read in several ways" };
  const values = typeof given === "string" ? [given] : given;
  // Services differ in which of two values they take.
  if (values.length > 1 && parameter.list !== "repeated" && place !== "header")
    return { in: place, pointer, message: "is there more than once" };
  const flaw = parameter.check?.(valueOf(parameter, values, place));
  return flaw && { in: place, pointer: `${pointer}${flaw.pointer}`.slice(0, 256), message: flaw.message };
}

function valueOf({ list, types }: Parameter, values: readonly string[], place: Place): unknown {
  if (list === "repeated") return values.map((text) => typed(text, types));
  const joined = values.join(",");
  if (list !== "commas") return typed(joined, types);
  if (joined === "") return [];
  // Only header fields may have blanks around the commas (RFC 9110 section 5.6.1).
  return joined.split(",").map((text) => typed(place === "header" ? text.trim() : text, types));
}

function typed(text: string, types: readonly string[]): unknown {
  if (types.includes("integer") && /^-?(?:0|[1-9]\d{0,15})$/.test(text)) return Number(text);
  if (
    types.includes("number") &&
    text.length < 64 &&
    /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)
  )
    return Number(text);
  if (types.includes("boolean") && (text === "true" || text === "false")) return text === "true";
  return text;
}

/**
 * @returns null for bad encoding, and for an encoded comma in a list: services differ in whether it separates values
 */
function decoded(text: string, plusIsBlank: boolean, parameter?: Parameter): string | null {
  if (parameter?.list === "commas" && /%2c/i.test(text)) return null;
  try {
    return decodeURIComponent(plusIsBlank ? text.replaceAll("+", " ") : text);
  } catch {
    return null;
  }
}

/** @returns values by name; undefined for a query that services read differently */
function queryOf(
  query: string,
  parameters: ReadonlyMap<string, Parameter>,
): Map<string, string[]> | undefined {
  const given = new Map<string, string[]>();
  if (query === "" || query === "?") return given;
  // Some services split a query at ";" as well.
  if (query.includes(";")) return undefined;
  for (const part of query.slice(1).split("&")) {
    const equals = part.indexOf("=");
    const name = decoded(equals === -1 ? part : part.slice(0, equals), true);
    if (name === null) return undefined;
    const value = decoded(equals === -1 ? "" : part.slice(equals + 1), true, parameters.get(name));
    if (value === null) return undefined;
    const values = given.get(name);
    if (values === undefined) given.set(name, [value]);
    else values.push(value);
  }
  return given;
}

/** @returns the values of each cookie, those included that only services find which split at commas, too */
function cookiesOf(text: string): Map<string, string[]> {
  const cookies = new Map<string, string[]>();
  const pairs = text === "" ? [] : text.split(";");
  for (const part of pairs.flatMap((pair) => [pair, ...pair.split(",").slice(1)])) {
    const equals = part.indexOf("=");
    const name = part.slice(0, equals).trim();
    const value = part.slice(equals + 1).trim();
    if (equals !== -1) cookies.set(name, [...(cookies.get(name) ?? []), value]);
  }
  return cookies;
}
