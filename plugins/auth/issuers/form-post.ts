// Posts a form to an authorization server, with the client's authentication (RFC 6749 section 2.3.1).
import type { HttpClient } from "../../../src/plugin-api/contract.ts";
import { parseJsonAnswer } from "./json-answer.ts";

export interface FormPost {
  readonly url: string;
  readonly parameters: Readonly<Record<string, string | readonly string[]>>;
  readonly clientId: string;
  /** undefined = a public client. */
  readonly clientSecret: string | undefined;
  /** Where the secret goes: into Authorization, or into the form. */
  readonly clientAuth: "basic" | "post";
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  /**
   * Whether a circuit breaker spares a failing server. Otherwise each call is sent: when the server is back, logins and
   * tokens must not be refused until a pause ends.
   */
  readonly breaker?: boolean;
}

/** OAuth form-encodes the text before it goes into Basic, which plain RFC 7617 does not. */
const formEncode = (text: string): string => new URLSearchParams({ v: text }).toString().slice(2);

/**
 * @returns status and JSON of the answer; the JSON is undefined where the body cannot be used (json-answer.ts)
 * Rejects with an Error that names host and cause, never the credentials.
 */
export async function postForm(
  http: HttpClient,
  post: FormPost,
): Promise<{ status: number; value: unknown }> {
  const { url, clientId, clientSecret, clientAuth, timeoutMs, maxBodyBytes } = post;
  const form = new URLSearchParams();
  for (const [name, values] of Object.entries(post.parameters))
    for (const value of [values].flat()) form.append(name, value);
  const fields: Record<string, string> = {
    accept: "application/json",
    "content-type": "application/x-www-form-urlencoded",
  };
  if (clientSecret !== undefined && clientAuth === "basic") {
    const pair = `${formEncode(clientId)}:${formEncode(clientSecret)}`;
    fields["authorization"] = `Basic ${Buffer.from(pair).toString("base64")}`;
  } else {
    form.set("client_id", clientId);
    if (clientSecret !== undefined) form.set("client_secret", clientSecret);
  }
  const body = form.toString();
  const { breaker = false } = post;
  const request = { url, method: "POST", fields, body, timeoutMs, maxBodyBytes, breaker } as const;
  const answer = await http.request(request);
  return { status: answer.status, value: parseJsonAnswer(answer.body) };
}
