// Makes one try of a call: a request with its answer, and the redirects that the answer leads to.
import http from "node:http";
import https from "node:https";
import type { LookupFunction } from "node:net";
import {
  ClosedAddress,
  isClosedAddress,
  lookupOpen,
  lookupPublic,
  PrivateAddress,
  publicRefusal,
} from "../../../language/closed-addresses.ts";
import { HttpError, type HttpAnswer, type HttpRequest } from "../../../plugin-api/http.ts";
import { type AnswerRoom, BadAnswer, collectBody } from "./answer-body.ts";
import type { Connections } from "./connections.ts";

/** The parameters of a try. */
export interface Way {
  readonly connections: Connections;
  /** Whether connections to private addresses are allowed. */
  readonly privateToo: boolean;
  /** Whether a kept-alive connection may be used. */
  readonly pooled: boolean;
  readonly signal: AbortSignal;
  readonly room: AnswerRoom;
}

/** Statuses that redirect a GET (RFC 9110 section 15.4). */
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * Sends the request and follows redirects within the URL's own origin. The policy did not name any other origin, so
 * none may answer for it. Rejects with an HttpError.
 */
export async function exchange(url: URL, options: HttpRequest, way: Way): Promise<HttpAnswer> {
  const { method = "GET", maxRedirects = 0 } = options;
  let at = url;
  for (let left = maxRedirects; ; left -= 1) {
    const answer = await send(at, options, way);
    const location = answer.fields.get("location");
    if (left <= 0 || location === undefined || !redirects.has(answer.status)) return answer;
    if ((method !== "GET" && method !== "HEAD") || !URL.canParse(location, at)) return answer;
    const next = new URL(location, at);
    const { username, password } = next;
    if (next.origin !== url.origin || username !== "" || password !== "") {
      const why = `a redirect to another origin is not followed: ${next.protocol}//${next.host}`;
      throw new HttpError(url.host, "bad_answer", why);
    }
    at = next;
  }
}

/** Sends again if a reused connection broke before an answer: the server may just have closed it. */
async function send(url: URL, options: HttpRequest, way: Way): Promise<HttpAnswer> {
  for (;;) {
    const sent = { reused: false, answered: false };
    try {
      return await sendOnce(url, options, way, sent);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const isStale = sent.reused && !sent.answered && (code === "ECONNRESET" || code === "EPIPE");
      if (!isStale || way.signal.aborted) throw failureOf(url, error);
    }
  }
}

async function sendOnce(
  url: URL,
  options: HttpRequest,
  way: Way,
  sent: { reused: boolean; answered: boolean },
): Promise<HttpAnswer> {
  const { method = "GET", body, fields, maxBodyBytes } = options;
  const refusal = refusalOf(url.hostname, way.privateToo);
  if (refusal !== undefined) throw refusal;
  const headers: Record<string, string | number> = { "accept-encoding": "gzip", ...fields };
  if (body !== undefined) headers["content-length"] = Buffer.byteLength(body);
  const lookup: LookupFunction = way.privateToo ? lookupOpen : lookupPublic;
  const isTls = url.protocol === "https:";
  const agent = way.pooled ? way.connections.agent(isTls) : false;
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = (isTls ? https : http).request(url, {
    method,
    headers,
    agent,
    lookup,
    signal: way.signal,
    maxHeaderSize: 16_384,
  });
  // `on`, not `once`: a destroyed request may emit `error` twice.
  request.on("error", (error) => {
    sent.reused = request.reusedSocket;
    reject(error);
  });
  request.once("response", resolve);
  request.end(body);
  const response = await promise;
  sent.answered = true;
  const status = response.statusCode ?? 0;
  // These responses have no body, whatever their fields say (RFC 9110 section 6.4.1).
  const isBare = method === "HEAD" || status === 204 || status === 304;
  const content = isBare
    ? (response.resume(), Buffer.alloc(0))
    : await collectBody(response, maxBodyBytes, way.room);
  return { status, fields: fieldMap(response), body: content };
}

function refusalOf(hostname: string, privateToo: boolean): Error | undefined {
  if (!privateToo) return publicRefusal(hostname);
  return isClosedAddress(hostname) ? new ClosedAddress() : undefined;
}

function fieldMap(response: http.IncomingMessage): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}

/** The error names only the host: path and query may hold secrets. */
function failureOf({ host }: URL, error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (!(error instanceof Error)) return new HttpError(host, "connection", "failed", error);
  const { code = error.message } = error as NodeJS.ErrnoException;
  if (error instanceof BadAnswer || code.startsWith("Z_") || code.startsWith("HPE_"))
    return new HttpError(host, "bad_answer", code, error);
  if (error instanceof ClosedAddress || error instanceof PrivateAddress)
    return new HttpError(host, "closed_address", error.message, error);
  return new HttpError(host, "connection", code, error);
}
