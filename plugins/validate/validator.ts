// Compiles what one route's policy declares: a schema for bodies, or the operations of an OpenAPI document.
import { isOverrideField } from "../../src/language/field-sets.ts";
import { type Exchange, GatewayError, type Verdict } from "../../src/plugin-api/contract.ts";
import { type Bodies, checkBody } from "./body-check.ts";
import { Document, type Operation, type Operations } from "./openapi/document.ts";
import { checkParameters } from "./openapi/parameters.ts";
import type { ValidateOptions } from "./options.ts";
import { prepareSchema } from "./prepare.ts";
import { refusal } from "./refusal.ts";
import { type Check, Schemas } from "./schemas.ts";

export interface Validator {
  /** Header fields that are checked, besides those about the body. */
  readonly headerNames: ReadonlySet<string>;
  /** @returns a promise only where a body must be read */
  request(exchange: Exchange): Verdict | Promise<Verdict>;
  /** The check of a response's JSON; undefined = nothing is declared. */
  response(exchange: Exchange, status: number, essence: string): Check | undefined;
}

const missingBody = refusal("invalid_content", "body", { pointer: "", message: "is missing" });
const unwantedBody = refusal("malformed_request", "body", { pointer: "", message: "is not taken" });

/** Rejects when something cannot be compiled, naming the place. */
export async function createValidator(options: ValidateOptions): Promise<Validator> {
  if (options.openapi === undefined) return bodyValidator(options);
  const document = new Document(options.openapi, options.responses === "report");
  return operationValidator(await document.operations(), document.headerNames, options);
}

const withBody = new Set(["POST", "PUT", "PATCH"]);

function bodyValidator(options: ValidateOptions): Validator {
  const { schema, contentTypes } = options;
  const prepared = schema && (prepareSchema(schema, { document: schema, closed: false }, false) as object);
  const check = prepared && new Schemas(prepared).compile("");
  const bodies: Bodies = new Map(contentTypes.map((range) => [range.toLowerCase(), check]));
  return {
    headerNames: new Set(),
    request(exchange) {
      const { hasBody, method } = exchange.request;
      if (hasBody) return checkBody(exchange, bodies, options);
      return check !== undefined && withBody.has(method) ? missingBody : undefined;
    },
    response: () => undefined,
  };
}

const unknownPath: Verdict = {
  action: "reject",
  error: new GatewayError("route_not_found", "No such path is declared."),
};

function unknownMethod(operations: ReadonlyMap<string, Operation>): Verdict {
  const allow = [...operations.keys(), ...(operations.has("GET") ? ["HEAD"] : [])].join(", ");
  const error = new GatewayError("method_not_allowed", `This path takes ${allow}.`, {
    fields: ["Allow", allow],
  });
  return { action: "reject", error };
}

/** HEAD is GET without the body (RFC 9110 section 9.3.2). */
const operationOf = (operations: ReadonlyMap<string, Operation>, method: string): Operation | undefined =>
  operations.get(method) ?? (method === "HEAD" ? operations.get("GET") : undefined);

function operationValidator(
  tree: Operations,
  headerNames: ReadonlySet<string>,
  options: ValidateOptions,
): Validator {
  return {
    headerNames,
    request(exchange) {
      const { request } = exchange;
      const found = tree.find(request.upstreamPath);
      if (found === undefined) return unknownPath;
      const operation = operationOf(found.value, request.method);
      if (operation === undefined) return unknownMethod(found.value);
      const { parameters, pathNames, body } = operation;
      const { query, fields } = request;
      // Method override fields are removed, so that the service runs the operation that was checked.
      fields.deleteWhere((name) => isOverrideField(name) && !parameters.header.has(name));
      const flaw = checkParameters({ path: found.parameters, query, fields }, parameters, pathNames);
      if (flaw !== undefined) return refusal("malformed_request", flaw.in, flaw);
      if (!request.hasBody) return body?.required === true ? missingBody : undefined;
      return body === undefined ? unwantedBody : checkBody(exchange, body.content, options);
    },
    response({ request }, status, essence) {
      const found = tree.find(request.upstreamPath);
      const operation = found && operationOf(found.value, request.method);
      const content = [String(status), `${Math.floor(status / 100)}XX`, "DEFAULT"]
        .map((each) => operation?.responses.get(each))
        .find((each) => each !== undefined);
      const [type] = essence.split("/", 1);
      return content?.get(essence) ?? content?.get(`${type}/*`) ?? content?.get("*/*");
    },
  };
}
