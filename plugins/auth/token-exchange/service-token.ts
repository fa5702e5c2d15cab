// The token that the service gets with a request, in place of its caller's.
import type { Exchange, Identity, Services } from "../../../src/plugin-api/contract.ts";
import { refused, type Refused } from "../auth-result.ts";
import { readCredentials, type CredentialOptions } from "../credentials.ts";
import type { Login } from "../login/login.ts";
import type { Exchanged, Given, TokenExchange } from "./token-exchange.ts";

interface Parts {
  readonly tokenExchange: TokenExchange | undefined;
  readonly login: Login | undefined;
  readonly credentials: CredentialOptions;
  readonly testRun: Services["testRun"];
}

export type ServiceToken = Exchanged | Refused;

/** The service takes tokens that were exchanged alone, and there is none: nothing of the caller's may stand for it. */
export const noToken = "";
const nothing: Given = { kind: "given", token: noToken };
// Begun before the policy asked for it: another login mends it.
const keepsNone = refused("session", "session: keeps no access token to exchange");

/** By key, by certificate, or unknown: a caller without a token has none to exchange. */
export function serviceToken(
  exchange: Exchange,
  identity: Identity | undefined,
  { tokenExchange, testRun, login, credentials }: Parts,
): ServiceToken | Promise<ServiceToken> {
  if (identity === undefined || testRun !== undefined) return nothing;
  const { method, expiresAt } = identity;
  const isSession = method === "session";
  if (!isSession && method !== "jwt" && method !== "introspection") return nothing;
  const subject = isSession
    ? login?.accessTokenOf(exchange, identity)
    : readCredentials(exchange.request, credentials).bearer;
  if (subject === undefined) return isSession ? keepsNone : nothing;
  return tokenExchange?.exchange(subject, expiresAt) ?? nothing;
}
