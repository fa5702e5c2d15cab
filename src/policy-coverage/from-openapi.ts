// Reads the operations of an OpenAPI 3 document: only paths, methods and parameters. References must stay within the
// document.
import { normalisePath, PathError } from "../language/request-path.ts";
import type { Operation } from "./operation.ts";

type Json = Readonly<Record<string, unknown>>;

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"] as const;
export const maxOperations = 5_000;
const maxReferences = 8;

/** @param document the parsed document. Throws an error that says what is wrong, and where. */
export function operationsOf(document: unknown): readonly Operation[] {
  const root = Object(document) as Json;
  if (!/^3\.\d+\.\d+$/.test(String(root["openapi"]))) throw new Error("openapi: must be of version 3");
  const found = Object.entries(Object(root["paths"]) as Json).flatMap(([path, written]): Operation[] => {
    if (!path.startsWith("/")) return [];
    const item = followed(root, written, path);
    return methods.flatMap((method) => {
      if (item[method] === undefined) return [];
      const operation = followed(root, item[method], `${path} ${method}`);
      // The closest list of servers counts.
      const base = basePath(operation["servers"] ?? item["servers"] ?? root["servers"]);
      const parameters = [...listOf(operation["parameters"]), ...listOf(item["parameters"])];
      const values = parameters.map((each) => followed(root, each, `parameters of ${path}`));
      const example =
        base + path.replaceAll(/\{([^{}]*)\}/g, (_, name: string) => valueFor(name, values, root));
      return [{ method: method.toUpperCase(), path: base + path, example: normalised(example, path) }];
    });
  });
  if (found.length === 0) throw new Error("paths: it has no operation");
  if (found.length > maxOperations) throw new Error(`paths: has more than ${maxOperations} operations`);
  return found;
}

function normalised(path: string, template: string): string {
  try {
    return normalisePath(path);
  } catch (error) {
    if (error instanceof PathError) throw new Error(`paths: ${template}: ${error.message}`, { cause: error });
    throw error;
  }
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Follows references within the document. */
function followed(root: Json, written: unknown, where: string): Json {
  let value = Object(written) as Json;
  for (let i = 0; value["$ref"] !== undefined; i += 1) {
    const target = value["$ref"];
    if (typeof target !== "string" || !target.startsWith("#/"))
      throw new Error(`${where}: $ref leads out of the document`);
    if (i === maxReferences) throw new Error(`${where}: $ref leads through too many others, or in a circle`);
    const names = target
      .slice(2)
      .split("/")
      .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    value = Object(names.reduce<unknown>((at, name) => ownOf(at, name), root)) as Json;
  }
  return value;
}

const ownOf = (value: unknown, name: string): unknown =>
  Object.hasOwn(Object(value) as object, name) ? (value as Json)[name] : undefined;

/** Matches values that need no escapes in a path and are no dot segments. */
const plain = /^[A-Za-z0-9_~-]+$/;

/** @returns a value that fits the document's description of a parameter, as far as that is simple */
function valueFor(name: string, parameters: readonly Json[], root: Json): string {
  const parameter = parameters.find((each) => each["in"] === "path" && each["name"] === name) ?? {};
  const schema = followed(root, parameter["schema"], `parameter ${name}`);
  const [first] = listOf(schema["enum"]);
  const given = [parameter["example"], schema["example"], schema["default"], first].find(
    (value) => typeof value === "string" || typeof value === "number",
  );
  if (given !== undefined && plain.test(String(given))) return String(given);
  if (schema["type"] === "integer" || schema["type"] === "number") {
    const { minimum } = schema;
    return typeof minimum === "number" ? String(minimum) : "1";
  }
  return schema["format"] === "uuid" ? "00000000-0000-4000-8000-000000000000" : "example";
}

/** @returns the path of the first server's URL, which precedes all paths */
function basePath(servers: unknown): string {
  const server = Object(listOf(servers)[0]) as Json;
  if (typeof server["url"] !== "string") return "";
  const variables = Object(server["variables"]) as Json;
  const filled = server["url"].replaceAll(/\{([^{}]*)\}/g, (_, name: string) => {
    const value = (Object(ownOf(variables, name)) as Json)["default"];
    return typeof value === "string" ? value : "";
  });
  const url = URL.parse(filled, "http://service/");
  if (url === null) throw new Error("servers: the first has no URL");
  return url.pathname.replace(/\/$/, "");
}
