// Types for the result of checking one credential. Results are shared, so nothing in them belongs to one request.
import { frozen } from "../../src/language/frozen.ts";
import type { ErrorCode, Identity } from "../../src/plugin-api/contract.ts";

/** How a caller authenticates. Also a label of metrics. */
export type AuthMethod =
  | "api-key"
  | "jwt"
  | "introspection"
  | "session"
  | "certificate"
  | "signature"
  | "basic"
  | "none";

export interface Accepted {
  readonly kind: "accepted";
  readonly identity: Identity;
}
/** The credential is bad. */
export interface Refused {
  readonly kind: "refused";
  readonly method: AuthMethod;
  readonly code: Extract<ErrorCode, "invalid_api_key" | "invalid_token" | "authentication_required">;
  /** For the log and metrics, never for the client. */
  readonly because: string;
  /** Id of a key that is known but no longer good, for counting failures. */
  readonly credentialId: string | undefined;
  /**
   * The proof of a bound token is bad or lacks the sidecar's nonce; the challenge says so (RFC 9449 sections 7.1 and
   * 9).
   */
  readonly challenge?: "proof" | "nonce";
}
/** The result cannot be known now: Redis or an issuer is out of reach, or there is too much load. */
export interface Unavailable {
  readonly kind: "unavailable";
  readonly method: AuthMethod;
  readonly code: Extract<ErrorCode, "dependency_unavailable" | "overloaded">;
  readonly because: string;
}
export type AuthResult = Accepted | Refused | Unavailable;
export type MaybeAuthResult = AuthResult | Promise<AuthResult>;

/** Not in memory. A look-up is needed, under this digest of the credential. */
export interface Unseen {
  readonly kind: "unseen";
  readonly digest: string;
}

/** @param identity is frozen: later requests with this credential are given the same one */
export function accepted(identity: Identity): Accepted {
  return { kind: "accepted", identity: frozen(identity) };
}

const codeOf = (method: AuthMethod): Refused["code"] => {
  if (method === "api-key") return "invalid_api_key";
  const isToken = method === "jwt" || method === "introspection" || method === "session";
  return isToken ? "invalid_token" : "authentication_required";
};

export function refused(method: AuthMethod, because: string, credentialId?: string): Refused {
  return { kind: "refused", method, code: codeOf(method), because, credentialId };
}

export function unavailable(
  method: AuthMethod,
  because: string,
  code: Unavailable["code"] = "dependency_unavailable",
): Unavailable {
  return { kind: "unavailable", method, code, because };
}
