// A plugin's own calls over HTTP, to what its definition declares (`needs.hosts`).

/** Methods of a plugin's own calls (RFC 9110 section 9; CONNECT and TRACE are nothing for it). */
export type HttpMethod = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

export interface HttpRequest {
  /** `http:` or `https:`, to a host that `needs.hosts` declares. */
  readonly url: string;
  /** Default: GET. */
  readonly method?: HttpMethod;
  /** By name. Those of the connection (`Host`, `Connection`, `Content-Length` …) are the client's own. */
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Over all: the wait for a connection, every try with the pauses between them, redirects, the body. */
  readonly timeoutMs: number;
  /** Of the body as decoded. */
  readonly maxBodyBytes: number;
  /** Redirects of a GET or HEAD followed within its origin (default: 0); the first that leads elsewhere is an error. */
  readonly maxRedirects?: number;
  /**
   * Tries beside the first, after a failed connection, a try that took too long, or a 502, 503 or 504 (at most 5).
   * Default: 2 for GET, HEAD, PUT, DELETE and OPTIONS, 0 for the others: ask for them where a second time does no harm.
   */
  readonly retries?: number;
  /** Of one try; a later one may still come in time. Default: `timeoutMs`. */
  readonly perTryTimeoutMs?: number;
  /** `false` = also asked when its last calls all failed: for callers that keep a breaker of their own. */
  readonly breaker?: boolean;
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** By lower-case name; several of one name are joined by `, `. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Client for a plugin's own calls: bounded in time, size, number and redirects; counted under the plugin's name. */
export interface HttpClient {
  /**
   * Resolves with whatever was answered, 500 too. Rejects with an `HttpError`, with a `NotDeclared` for another host
   * than the definition declares, or a `QuotaExceeded` where too many calls of the plugin are under way or were made just now.
   */
  request(options: HttpRequest): Promise<HttpAnswer>;
}

/**
 * `breaker_open` = not asked, because its last calls all failed; `closed_address` = the host's address is one that is not
 * connected to; `bad_answer` = too large, not decodable, led elsewhere.
 */
export type HttpErrorReason =
  | "timeout"
  | "aborted"
  | "connection"
  | "breaker_open"
  | "closed_address"
  | "bad_answer";

/** A call that has no answer. Its message names host and cause, never path, fields or credentials. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly reason: HttpErrorReason;

  /** @param host with its port */
  constructor(host: string, reason: HttpErrorReason, why: string, cause?: unknown) {
    super(`${host}: ${why}`, { cause });
    this.reason = reason;
  }
}
