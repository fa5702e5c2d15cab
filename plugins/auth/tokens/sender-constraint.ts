// Checks tokens that are bound to a key of their sender: without that key such a token is worthless.
import type { Exchange, Identity } from "../../../src/plugin-api/contract.ts";
import type { ProofCheck } from "../dpop/proof-check.ts";
import type { CertificateCheck } from "../certificates/certificate.ts";
import { refused, type Refused, type Unavailable } from "../auth-result.ts";
import { isJsonObject } from "./token-parts.ts";

const notTheirs = refused("jwt", "token: bound to another client certificate (cnf x5t#S256)");
const otherProof = refused("jwt", "token: bound to a key in a way that is not checked here (cnf)");
const malformed = refused("jwt", "token: claim cnf");

const withoutProof = refused("jwt", "token: bound to a key (cnf jkt), and shown without DPoP");
const notBound = refused("jwt", "token: shown with DPoP, and bound to no key (cnf jkt)");
const mustBeBound = refused("jwt", "token: bound to no key (cnf jkt), as its issuer's must be");

export interface ConstraintParts {
  readonly bound: CertificateCheck;
  /** undefined = no token with a DPoP proof is accepted on the route. */
  readonly proofs: ProofCheck | undefined;
}

/**
 * RFC 8705 section 3: a token with `cnf` `x5t#S256` is good only with that client certificate. RFC 9449 section 7: a
 * token with `jkt` is good only with a proof, never as a bearer token (7.2). A token with any other confirmation method
 * is refused (RFC 7800 section 3.1).
 * @param again a check of an exchange that goes on: its proof was new at the start
 * @returns why the token of this identity is refused; undefined = it is not
 */
export function constraintFault(
  exchange: Exchange,
  identity: Identity,
  { bound, proofs }: ConstraintParts,
  again = false,
): Refused | undefined | Promise<Refused | Unavailable | undefined> {
  const { method, claims } = identity;
  const { cnf } = claims;
  if (method !== "jwt" && method !== "introspection") return undefined;
  if (proofs === undefined && cnf === undefined) return undefined;
  if (cnf !== undefined && !isJsonObject(cnf)) return malformed;
  const { "x5t#S256": thumbprint, jkt, ...others } = cnf ?? {};
  if (Object.keys(others).length > 0 || (cnf !== undefined && thumbprint === undefined && jkt === undefined))
    return otherProof;
  if (thumbprint !== undefined && thumbprint !== bound.thumbprint(exchange)) return notTheirs;
  const mode = proofs?.modeOf(identity) ?? "off";
  const token = proofs?.shown(exchange.request);
  if (jkt === undefined) {
    if (token !== undefined) return notBound;
    return mode === "required" ? mustBeBound : undefined;
  }
  if (typeof jkt !== "string") return malformed;
  if (proofs === undefined || mode === "off") return otherProof;
  return token === undefined ? withoutProof : proofs.check(exchange, token, jkt, again);
}
