// Sends a request to the token endpoint as the sidecar's own client, for a caller's token or the actor's.
import type { Services } from "../../../src/plugin-api/contract.ts";
import { postForm, type FormPost } from "../issuers/form-post.ts";
import type { TokenExchangeOptions } from "./options.ts";

const maxBodyBytes = 65_536;

/**
 * @param url the client's secret must be bound to its host
 * @returns status and JSON of the answer; the JSON is undefined where the body cannot be used (json-answer.ts)
 * Rejects when there is no answer, with an Error that never names the credentials.
 */
export async function askTokenEndpoint(
  { clientId, clientSecret, clientAuth, timeoutMs }: TokenExchangeOptions,
  services: Services,
  url: string,
  parameters: FormPost["parameters"],
): Promise<{ status: number; value: unknown }> {
  return postForm(services.http, {
    url,
    parameters,
    clientId,
    clientSecret: services.secrets.sentTo(clientSecret, url),
    clientAuth,
    timeoutMs,
    maxBodyBytes,
    breaker: true,
  });
}
