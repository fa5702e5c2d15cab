// Builds the URL that sends a browser to the provider's authorization endpoint. The request is in the query, or was
// pushed to the provider before (RFC 9126): then the browser carries only its name, and can neither read nor change it.
import { hash } from "node:crypto";
import type { LoginOptions } from "./options.ts";
import type { PendingLogin } from "./pending-logins.ts";
import type { Provider } from "./provider.ts";

/**
 * @param state the provider gives it back
 * @param address of the client that logs in
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
  // Pushed anew for each login: the provider accepts a request_uri once (RFC 9126 section 2.2).
  const pushed = await provider.push(request, address);
  const sent = pushed === undefined ? request : { client_id: clientId, request_uri: pushed };
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(sent)) url.searchParams.set(name, value);
  return url.href;
}
