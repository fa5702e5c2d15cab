// The transform plugin: tells the service who calls (X-User-Id, X-User-Plan, X-User-Scopes), and sets or removes header
// fields of requests and responses.
import { compileNameTest } from "../../src/language/field-sets.ts";
import {
  definePlugin,
  type Exchange,
  fieldKey,
  type Fields,
  type Hooks,
  type RequestField,
} from "../../src/plugin-api/contract.ts";
import { isOwnedField, ownedRequestFields } from "./names.ts";
import { transformOptions } from "./options.ts";
import { compileTemplate, plan, scopes, userId, type Fill, hasVariables, namesCaller } from "./template.ts";

/** Sets one field, or does nothing when its value is missing. */
type Setter = (fields: Fields, exchange: Exchange) => void;

/** These fields may have several lines: replacing the service's would lose its cookies or cached variants. */
const accumulating = new Set(["set-cookie", "vary"]);

function setter(name: string, fill: Fill): Setter {
  if (accumulating.has(fieldKey(name))) {
    return function appendField(fields, exchange) {
      const value = fill(exchange);
      if (value !== undefined) fields.append(name, value);
    };
  }
  return function setField(fields, exchange) {
    const value = fill(exchange);
    if (value !== undefined) fields.set(name, value);
  };
}

/** Removes first, then sets; undefined when there is nothing to do. */
function compileChange(remove: readonly string[], add: Readonly<Record<string, string>>): Setter | undefined {
  const isRemoved = remove.length === 0 ? undefined : compileNameTest(remove.map(fieldKey));
  const setters = Object.entries(add).map(([name, text]) => setter(name, compileTemplate(text)));
  if (isRemoved === undefined && setters.length === 0) return undefined;
  return function changeFields(fields, exchange) {
    if (isRemoved !== undefined) fields.deleteWhere(isRemoved);
    for (const set of setters) set(fields, exchange);
  };
}

/** The fields that `addHeaders` sets, read from options that are not validated yet. */
function addedFields(options: unknown): RequestField[] {
  const { addHeaders } = Object(options) as { addHeaders?: unknown };
  const added = Object.entries(typeof addHeaders === "object" && addHeaders !== null ? addHeaders : {});
  return added.map(([name, value]) => ({
    name,
    path: ["addHeaders", name],
    tellsWho: namesCaller(String(value)) && isOwnedField(name),
  }));
}

const identityFields: readonly Setter[] = [
  setter("X-User-Id", userId),
  setter("X-User-Plan", plan),
  setter("X-User-Scopes", scopes),
];

export const transform = definePlugin({
  name: "transform",
  version: "1.0.0",
  apiVersion: 1,
  // Last before the service: by now the plugins before it have settled the caller's identity.
  priority: 50,
  security: false,
  // A service that trusts these fields must not get a request without them.
  failMode: "closed",
  options: transformOptions,
  requestFields: addedFields,

  setup({ options }): Hooks {
    const onRequest = compileChange(options.removeHeaders, options.addHeaders);
    const onResponse = compileChange(options.removeResponseHeaders, options.addResponseHeaders);
    const personal = Object.values(options.addResponseHeaders).some(hasVariables);
    return {
      ownedRequestFields: ownedRequestFields(Object.keys(options.addHeaders)),
      headOnlyFields: [
        ...Object.keys(options.addHeaders),
        ...options.removeHeaders,
        ...Object.keys(options.addResponseHeaders),
        ...options.removeResponseHeaders,
      ],
      onRequest(exchange) {
        const { fields } = exchange.request;
        if (exchange.identity !== undefined) {
          for (const set of identityFields) set(fields, exchange);
        }
        onRequest?.(fields, exchange);
      },
      ...(onResponse === undefined
        ? {}
        : {
            onResponse(exchange, response) {
              onResponse(response.fields, exchange);
              if (personal) exchange.responseIsPersonal = true;
            },
          }),
    };
  },
});
