// BREACH: who can put text of their own beside a secret, and see how long the compressed answers are, reads the secret
// letter by letter. So no answer is compressed that may hold a caller's secret, unless the route says so.
import type { Exchange, ExchangeResponse } from "../../src/plugin-api/contract.ts";
import type { CompressOptions } from "./options.ts";

/** Of `Identity.method`: a page of another site cannot have a browser send these. */
const explicitMethods = new Set(["api-key", "jwt", "introspection"]);
const explicitScheme = /^(?:bearer|dpop) /i;

type IsSecret = (exchange: Exchange, response: ExchangeResponse) => boolean;

/** What browsers send along by themselves, and what begins a session. */
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
