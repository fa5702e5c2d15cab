// Compiles the operations of a policy's OpenAPI 3.1 document at set-up, with all parameters and bodies. References may
// only lead within the document.
import { setImmediate as breathe } from "node:timers/promises";
import { isJson, rangePattern } from "../media-type.ts";
import { isObject, type Json, lookUp, pointerOf, prepareSchema } from "../prepare.ts";
import { type Check, Schemas } from "../schemas.ts";
import { compileParameters, type Parameters } from "./parameters.ts";
import type { Part, Parts } from "./parts.ts";
import { PathTree } from "./path-tree.ts";

/** The check for each media type range of a body; undefined = nothing is declared. */
export type Content = ReadonlyMap<string, Check | undefined>;

export interface Operation {
  readonly parameters: Parameters;
  /** Names of the path's parameters, in order. */
  readonly pathNames: readonly string[];
  readonly body: { readonly required: boolean; readonly content: Content } | undefined;
  /** By status (`200`), class (`2XX`) or `default`. */
  readonly responses: ReadonlyMap<string, Content>;
}

export type Operations = PathTree<ReadonlyMap<string, Operation>>;

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"] as const;
const dialects = [
  "https://json-schema.org/draft/2020-12/schema",
  "https://spec.openapis.org/oas/3.1/dialect/base",
];
const maxObjects = 50_000;
const maxReferences = 8;
const maxCompileMs = 8_000;

/** The constructor and `operations` throw for anything that is not understood, naming the place. */
export class Document implements Parts {
  readonly #root: Json;
  readonly #withResponses: boolean;
  readonly schemas: Schemas;
  /** Lower-case names of the header fields that are parameters; complete once `operations` has resolved. */
  readonly headerNames = new Set<string>();

  constructor(written: Json, withResponses: boolean) {
    if (!/^3\.1\.\d+$/.test(String(written["openapi"]))) throw new Error("openapi: must be of version 3.1");
    const dialect = written["jsonSchemaDialect"];
    if (dialect !== undefined && !dialects.some((each) => each === dialect))
      throw new Error("jsonSchemaDialect: is not known here");
    countObjects(written);
    this.#root = prepareSchemas(written);
    this.#withResponses = withResponses;
    this.schemas = new Schemas(this.#root);
  }

  /** Compiles one operation per turn of the event loop, so that other work waits for at most one of them. */
  async operations(): Promise<Operations> {
    const tree: Operations = new PathTree();
    const base = basePath(this.#root["servers"]);
    const endMono = performance.now() + maxCompileMs;
    for (const [path, written] of Object.entries(object(this.#root["paths"] ?? {}, "/paths"))) {
      const item = this.deref(written, `/paths/${token(path)}`);
      const byMethod = new Map<string, Operation>();
      for (const method of methods) {
        if (item.value[method] === undefined) continue;
        if (performance.now() > endMono) throw new Error("the document takes too long to compile");
        byMethod.set(method.toUpperCase(), this.#operation(path, item, method));
        await breathe();
      }
      tree.add(base + path, byMethod);
    }
    return tree;
  }

  /** Follows references; the pointer of the result is that of their target. */
  deref(written: unknown, pointer: string): Part {
    let value = object(written, pointer);
    let at = pointer;
    for (let i = 0; value["$ref"] !== undefined; i += 1) {
      const target = pointerOf(value["$ref"]);
      if (target === undefined)
        throw new Error(`${at}: $ref leads out of the document; only #/… is followed`);
      if (i === maxReferences) throw new Error(`${at}: $ref leads through too many others, or in a circle`);
      at = target;
      value = object(lookUp(this.#root, at), at);
    }
    return { value, pointer: at };
  }

  #operation(path: string, item: Part, method: string): Operation {
    const operation = this.deref(item.value[method], `${item.pointer}/${method}`);
    const pathNames = [...path.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name);
    const parameters = compileParameters(this, [item, operation], pathNames);
    for (const name of parameters.header.keys()) this.headerNames.add(name);
    const { requestBody, responses } = operation.value;
    let body: Operation["body"];
    if (requestBody !== undefined) {
      const { value, pointer } = this.deref(requestBody, `${operation.pointer}/requestBody`);
      body = { required: value["required"] === true, content: this.#content({ value, pointer }) };
    }
    const answers = this.#withResponses ? Object.entries(object(responses ?? {}, operation.pointer)) : [];
    const byStatus = answers.map(([status, written]): [string, Content] => {
      const response = this.deref(written, `${operation.pointer}/responses/${token(status)}`);
      return [status.toUpperCase(), this.#content(response)];
    });
    return { parameters, pathNames, body, responses: new Map(byStatus) };
  }

  #content({ value, pointer }: Part): Content {
    const content = object(value["content"] ?? {}, pointer);
    return new Map(
      Object.entries(content).map(([written, media]): [string, Check | undefined] => {
        const range = (written.split(";", 1)[0] as string).trim().toLowerCase();
        const at = `${pointer}/content/${token(written)}`;
        if (!rangePattern.test(range)) throw new Error(`${at}: is no media type`);
        const isChecked = isJson(range) || range.endsWith("/*");
        if (!isChecked || object(media, at)["schema"] === undefined) return [range, undefined];
        return [range, this.schemas.compile(`${at}/schema`)];
      }),
    );
  }
}

const token = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");

function object(value: unknown, pointer: string): Json {
  if (isObject(value)) return value;
  throw new Error(`${pointer}: ${value === undefined ? "is not there" : "must be an object"}`);
}

function countObjects(document: Json): void {
  let count = 0;
  const open: unknown[] = [document];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== "object" || value === null) continue;
    count += 1;
    if (count > maxObjects) throw new Error(`the document has more than ${maxObjects} objects and lists`);
    open.push(...(Object.values(value) as unknown[]).filter((each) => each !== undefined));
  }
}

/** Prepares all schemas of the document in place: under `schema`, and in `components.schemas`. */
function prepareSchemas(document: Json): Json {
  const how = { document, closed: true };
  const visit = (value: unknown, key: string, inSchemas: boolean): unknown => {
    if (Array.isArray(value)) return value.map((each) => visit(each, "", false));
    if (!isObject(value)) return value;
    if (inSchemas || (key === "schema" && !inSchemas)) return prepareSchema(value, how, !inSchemas);
    const isSchemas = key === "schemas";
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, visit(inner, name, isSchemas)]),
    );
  };
  return visit(document, "", false) as Json;
}

/** Paths of the document are relative to the path of its first server. */
function basePath(servers: unknown): string {
  const [first] = Array.isArray(servers) ? (servers as unknown[]) : [];
  if (!isObject(first) || typeof first["url"] !== "string") return "";
  const variables = isObject(first["variables"]) ? first["variables"] : {};
  const filled = first["url"].replaceAll(/\{([^{}]*)\}/g, (_, name: string) => {
    const variable = variables[name];
    return isObject(variable) ? String(variable["default"]) : "";
  });
  const url = URL.parse(filled, "http://service/");
  if (url === null) throw new Error("/servers/0/url: is no URL");
  return url.pathname.replace(/\/$/, "");
}
