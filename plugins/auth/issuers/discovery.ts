// Fetches a provider's metadata (OpenID Connect Discovery 1.0), which count only if they name the issuer asked for.
import { z } from "zod";
import type { HttpClient } from "../../../src/plugin-api/contract.ts";
import { parseJsonAnswer } from "./json-answer.ts";
import { safeUrl } from "../option-fields.ts";

const metadataShape = z.looseObject({
  issuer: z.string(),
  jwks_uri: safeUrl,
  authorization_endpoint: safeUrl.optional(),
  token_endpoint: safeUrl.optional(),
  pushed_authorization_request_endpoint: safeUrl.optional(),
  require_pushed_authorization_requests: z.boolean().optional(),
  end_session_endpoint: safeUrl.optional(),
  authorization_response_iss_parameter_supported: z.boolean().optional(),
});

export type ProviderMetadata = z.output<typeof metadataShape>;

const maxBytes = 262_144;
/** Redirects to follow for metadata and key sets, within their own origin: providers move a path now and then. */
export const maxRedirects = 3;
/** The callers retry with pauses of their own. */
export const ownRetries = { retries: 0, breaker: false } as const;

/** @throws Error that names the fault. No credentials are sent or shown. */
export async function discover(
  issuer: string,
  http: HttpClient,
  timeoutMs: number,
): Promise<ProviderMetadata> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const answer = await http.request({
    url,
    timeoutMs,
    maxBodyBytes: maxBytes,
    maxRedirects,
    ...ownRetries,
    fields: { accept: "application/json" },
  });
  if (answer.status !== 200) throw new Error(`discovery at ${url} answered ${answer.status}`);
  const value = parseJsonAnswer(answer.body);
  if (value === undefined) throw new Error(`discovery at ${url} answered no JSON, or with a member twice`);
  const parsed = metadataShape.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`discovery at ${url}: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  // Discovery 1.0 section 4.3: keys in another issuer's document must not count for this one.
  if (parsed.data.issuer !== issuer) throw new Error(`discovery at ${url} names another issuer`);
  return parsed.data;
}
