// Prevents BREACH: an attacker who can place text beside a secret and see the length of compressed answers guesses it
// letter by letter. So answers that may hold a caller's secret are not compressed, unless the route allows it.
import type { Exchange, ExchangeResponse } from "../../src/plugin-api/contract.ts";
import type { CompressOptions } from "./options.ts";

/** Values of `Identity.method` whose credential a page of another site cannot make a browser send. */
const explicitMethods = new Set(["api-key", "jwt", "introspection"]);
const explicitScheme = /^(?:bearer|dpop) /i;

type IsSecret = (exchange: Exchange, response: ExchangeResponse) => boolean;

/** Credentials that browsers send by themselves, and answers that begin a session. */
function isImplicit(exchange: Exchange, { fields }: ExchangeResponse): boolean {
  const { request, client, identity } = exchange;
  if (request.ownedCookies !== undefined || request.fields.has("cookie") || fields.has("set-cookie"))
    return true;
  if (client.tls?.certificate !== undefined) return true;
  if (identity !== undefined && !explicitMethods.has(identity.method)) return true;
  const authorization = request.fields.get("authorization");
  return authorization !== undefined && !explicitScheme.test(authorization);
}

function hasAny(exchange: Exchange, response: ExchangeResponse): boolean {
  const { request, identity, credentialFields, responseIsPersonal } = exchange;
  if (identity !== undefined || responseIsPersonal || request.ownedQuery !== undefined) return true;
  if (request.fields.has("authorization") || credentialFields.some((name) => request.fields.has(name)))
    return true;
  return isImplicit(exchange, response);
}

const nothing: IsSecret = () => false;

export function compileSecrets({ credentials }: Pick<CompressOptions, "credentials">): IsSecret {
  if (credentials === "always") return nothing;
  return credentials === "explicit" ? isImplicit : hasAny;
}
