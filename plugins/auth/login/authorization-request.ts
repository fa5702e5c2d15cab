// Where a browser goes for a login: to the provider's authorization endpoint, with the request in its query, or with the
// name of one that the provider was given before (RFC 9126): then no browser sees it or changes it.
import { hash } from "node:crypto";
import type { LoginOptions } from "./options.ts";
import type { PendingLogin } from "./pending-logins.ts";
import type { Provider } from "./provider.ts";

/**
 * @param state for the provider to give back
 * @param address whose login it is
 * Rejects with `ProviderDown`.
 */
export async function authorizationUrl(
  provider: Provider,
  options: LoginOptions,
  pending: PendingLogin,
  state: string,
  address: string,
): Promise<string> {
  const endpoint = await provider.authorizationEndpoint();
  const { clientId, scopes, parameters } = options;
  const request = {
    ...parameters,
    response_type: "code",
    client_id: clientId,
    redirect_uri: pending.redirectUri,
    scope: scopes.join(" "),
    state,
    nonce: pending.nonce,
    code_challenge: hash("sha256", pending.verifier, "base64url"),
    code_challenge_method: "S256",
  };
  // Made for this login alone: the provider takes a request_uri once (RFC 9126 section 2.2).
  const pushed = await provider.push(request, address);
  const sent = pushed === undefined ? request : { client_id: clientId, request_uri: pushed };
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(sent)) url.searchParams.set(name, value);
  return url.href;
}
