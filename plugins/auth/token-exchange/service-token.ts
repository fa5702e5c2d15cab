// Gets the token that goes to the service with a request, in place of the caller's.
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

/** There is no token. The service accepts only exchanged ones, so nothing of the caller's may take its place. */
export const noToken = "";
const nothing: Given = { kind: "given", token: noToken };
// The session began before the policy asked for access tokens. Another login fixes that.
const keepsNone = refused("session", "session: keeps no access token to exchange");

/** Gives `noToken` to callers without a token to exchange: those with a key or certificate, and unknown ones. */
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
