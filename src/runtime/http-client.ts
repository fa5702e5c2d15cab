// The client behind `services.http`: a plugin's own calls (issuers, introspection), bounded in time and size. One
// connection a call: they are rare, and none must outlive its plugin.
import http from "node:http";
import https from "node:https";
import { ClosedAddress, isClosedAddress, lookupOpen } from "../language/closed-addresses.ts";
import { collectBody } from "./answer-body.ts";
import type { HttpAnswer, HttpClient } from "../plugin-api/services.ts";

type Request = Parameters<HttpClient["request"]>[0];

export function createHttpClient(): HttpClient {
  return {
    async request(options) {
      const url = new URL(options.url);
      if (url.protocol !== "http:" && url.protocol !== "https:")
        throw new Error(`${url.protocol} is not spoken here`);
      const limit = AbortSignal.timeout(options.timeoutMs);
      const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
      try {
        return await follow(url, options, signal);
      } catch (error) {
        const why = limit.aborted ? `no answer within ${options.timeoutMs} ms` : reason(error);
        // The path and query may hold secrets; the host does not.
        throw new Error(`${url.host}: ${why}`, { cause: error });
      }
    },
  };
}

/** Statuses that send a GET elsewhere (RFC 9110 section 15.4). */
const redirects = new Set([301, 302, 303, 307, 308]);

/** Follows redirects within the URL's own origin: another one was not named by the policy, and must not answer for it. */
async function follow(url: URL, options: Request, signal: AbortSignal): Promise<HttpAnswer> {
  let at = url;
  for (let left = options.maxRedirects ?? 0; ; left -= 1) {
    const answer = await exchange(at, options, signal);
    const location = answer.fields.get("location");
    if (left <= 0 || location === undefined || !redirects.has(answer.status)) return answer;
    if (options.method === "POST" || !URL.canParse(location, at)) return answer;
    const next = new URL(location, at);
    const { username, password } = next;
    if (next.origin !== url.origin || username !== "" || password !== "") {
      throw new Error(`a redirect to another origin is not followed: ${next.protocol}//${next.host}`);
    }
    at = next;
  }
}

function exchange(url: URL, options: Request, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    if (isClosedAddress(url.hostname)) throw new ClosedAddress();
    const headers: Record<string, string | number> = { "accept-encoding": "gzip", ...options.fields };
    if (options.body !== undefined) headers["content-length"] = Buffer.byteLength(options.body);
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: options.method ?? "GET",
      headers,
      agent: false,
      lookup: lookupOpen,
      signal,
      maxHeaderSize: 16_384,
    });
    request.once("error", reject);
    request.once("response", (response) => {
      collectBody(response, options.maxBodyBytes).then((body) => {
        resolve({ status: response.statusCode ?? 0, fields: fieldMap(response), body });
      }, reject);
    });
    request.end(options.body);
  });
}

function fieldMap(response: http.IncomingMessage): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  if (error instanceof ClosedAddress) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message;
}
