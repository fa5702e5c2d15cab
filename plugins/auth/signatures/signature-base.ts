// Builds the text that is signed (RFC 9421 section 2.5): the covered components of the request, each as the RFC writes
// it, and the parameters of the signature.
import { serializeInnerList, serializeItem, type InnerList, type Item } from "structured-headers";
import type { ExchangeRequest } from "../../../src/plugin-api/contract.ts";
import { strictMember, strictValue, structuredFields, type StructuredFields } from "./structured-fields.ts";

const maxComponents = 64;
/** Section 2.5: the signature base is ASCII. */
const ascii = /^[\x20-\x7e\t]*$/;

type Component = readonly [name: string, parameters: Item[1]];

const registeredOnly = structuredFields();

/** A component that is missing, there twice, or of an unknown kind. */
export class BadComponent extends Error {
  override readonly name = "BadComponent";
}

const ownPort = { http: /:80$/, https: /:443$/ } as const;

/**
 * @returns the host in lower case without the scheme's default port (section 2.2.3), otherwise as sent: a URL parser
 * would change `%61` and `0x7f.1`
 */
function authority({ scheme, host }: ExchangeRequest): string {
  return host.replace(ownPort[scheme], "").toLowerCase();
}

const derived: Readonly<Record<string, (request: ExchangeRequest) => string>> = {
  "@method": ({ method }) => method,
  "@target-uri": (request) => `${request.scheme}://${authority(request)}${request.path}${request.query}`,
  "@authority": authority,
  "@scheme": ({ scheme }) => scheme,
  "@request-target": ({ path, query }) => path + query,
  "@path": ({ path }) => path,
  // Section 2.2.7: only a question mark when there is no query.
  "@query": ({ query }) => (query === "" ? "?" : query),
};

/** Section 2.2.8: percent-encodes again, by the rules for forms, except for the blank. */
function encoded(text: string): string {
  const parameters = new URLSearchParams([["", text]]).toString();
  return parameters.slice(1).replaceAll("+", "%20");
}

function queryParameter({ query }: ExchangeRequest, name: unknown): string {
  if (typeof name !== "string") throw new BadComponent("@query-param without a name");
  const values = [...new URLSearchParams(query)].filter(([each]) => encoded(each) === name);
  const [found] = values;
  if (found === undefined || values.length > 1) throw new BadComponent("@query-param: not there once");
  return encoded(found[1]);
}

/** Why some parameters of fields cannot be used in requests, which are checked before their bodies have come. */
const notForRequests: Readonly<Record<string, string>> = {
  // Section 2.4.
  req: "req is for responses",
  // Section 2.1.4.
  tr: "trailers are not signed here: they come too late",
};

function parameterFault(parameters: Item[1]): string {
  const name = [...parameters.keys()].find((each) => Object.hasOwn(notForRequests, each));
  return (name === undefined ? undefined : notForRequests[name]) ?? "parameters";
}

const isBlank = (letter: string | undefined): boolean => letter === " " || letter === "\t";

/** Strips the blanks around a value (section 2.1): only space and tab, as the service sees any other byte. */
function withoutBlanks(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isBlank(value[start])) start += 1;
  while (end > start && isBlank(value[end - 1])) end -= 1;
  return value.slice(start, end);
}

function fieldValue(
  { fields }: ExchangeRequest,
  [name, parameters]: Component,
  types: StructuredFields,
): string {
  const values = fields.getAll(name).map(withoutBlanks);
  if (values.length === 0) throw new BadComponent(`${name}: not in the request`);
  if (parameters.size === 0) return values.join(", ");
  if (parameters.size > 1) throw new BadComponent(`${name}: ${parameterFault(parameters)}`);
  // Section 2.1.3: each line as a byte sequence.
  if (parameters.get("bs") === true)
    return values.map((value) => `:${Buffer.from(value, "latin1").toString("base64")}:`).join(", ");
  const key = parameters.get("key");
  const isStrict = parameters.get("sf") === true;
  if (!isStrict && typeof key !== "string") throw new BadComponent(`${name}: ${parameterFault(parameters)}`);
  // The text of a field does not show its type.
  const type = typeof key === "string" ? "dictionary" : types.get(name);
  if (type === undefined) throw new BadComponent(`${name}: not known as a structured field`);
  let value: string | undefined;
  try {
    const text = values.join(", ");
    value = typeof key === "string" ? strictMember(text, key) : strictValue(text, type);
  } catch {
    throw new BadComponent(`${name}: no ${type}`);
  }
  if (value === undefined) throw new BadComponent(`${name}: lacks its key`);
  return value;
}

function valueOf(request: ExchangeRequest, component: Component, types: StructuredFields): string {
  const [name, parameters] = component;
  if (!name.startsWith("@")) return fieldValue(request, component, types);
  if (name === "@query-param" && parameters.size === 1)
    return queryParameter(request, parameters.get("name"));
  const derive = Object.hasOwn(derived, name) ? derived[name] : undefined;
  if (derive === undefined || parameters.size > 0) throw new BadComponent(`${name}: not known for requests`);
  return derive(request);
}

/**
 * @param input the covered components, and the parameters of the signature
 * @throws BadComponent
 */
export function signatureBase(
  request: ExchangeRequest,
  input: InnerList,
  types: StructuredFields = registeredOnly,
): string {
  const [components] = input;
  if (components.length > maxComponents) throw new BadComponent(`more than ${maxComponents}`);
  const lines = new Map<string, string>();
  for (const item of components) {
    const [name, parameters] = item;
    if (typeof name !== "string" || name !== name.toLowerCase())
      throw new BadComponent("not a name in lower case");
    const identifier = serializeItem(item);
    if (lines.has(identifier)) throw new BadComponent(`${name}: named twice`);
    const value = valueOf(request, [name, parameters], types);
    if (!ascii.test(value)) throw new BadComponent(`${name}: not ASCII`);
    lines.set(identifier, `${identifier}: ${value}`);
  }
  return [...lines.values(), `"@signature-params": ${serializeInnerList(input)}`].join("\n");
}
