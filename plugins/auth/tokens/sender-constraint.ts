// Tokens that are bound to a key of their sender: whoever has one without that key has nothing.
import type { Exchange, Identity } from "../../../src/plugin-api/contract.ts";
import type { CertificateCheck } from "../certificates/certificate.ts";
import { refused, type Refused } from "../auth-result.ts";
import { isJsonObject } from "./token-parts.ts";

const notTheirs = refused("jwt", "token: bound to another client certificate (cnf x5t#S256)");
const otherProof = refused("jwt", "token: bound to a key in a way that is not checked here (cnf)");
const malformed = refused("jwt", "token: claim cnf");

/**
 * RFC 8705 section 3: a token with `cnf` `x5t#S256` is good with that client certificate alone. Other ways, DPoP among them,
 * are not known here, and without its proof such a token is no bearer (RFC 9449 section 7.2, RFC 7800 section 3.1).
 * @returns why the token of this identity is refused
 */
export function constraintFault(
  exchange: Exchange,
  { method, claims }: Identity,
  certificates: CertificateCheck,
): Refused | undefined {
  const { cnf } = claims;
  if (cnf === undefined || (method !== "jwt" && method !== "introspection")) return undefined;
  if (!isJsonObject(cnf)) return malformed;
  const { "x5t#S256": thumbprint, ...others } = cnf;
  if (thumbprint === undefined || Object.keys(others).length > 0) return otherProof;
  return thumbprint === certificates.thumbprint(exchange) ? undefined : notTheirs;
}
