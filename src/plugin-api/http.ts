// Defines a plugin's own HTTP calls to the hosts that its definition declares (`needs.hosts`).

/** Methods of a plugin's own calls (RFC 9110 section 9), without CONNECT and TRACE. */
export type HttpMethod = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

export interface HttpRequest {
  /** `http:` or `https:`, to a host that `needs.hosts` declares. */
  readonly url: string;
  /** Default: GET. */
  readonly method?: HttpMethod;
  /** By name. The client sets the fields of the connection (`Host`, `Connection`, `Content-Length` …) itself. */
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /**
   * Time limit for the whole call: the wait for a connection, every try with the pauses between tries, redirects, the
   * body.
   */
  readonly timeoutMs: number;
  /** Limit for the decoded body. */
  readonly maxBodyBytes: number;
  /**
   * How many redirects of a GET or HEAD to follow within its origin (default: 0). A redirect to another origin is an
   * error.
   */
  readonly maxRedirects?: number;
  /**
   * Further tries after a failed connection, a try that took too long, or a 502, 503 or 504 (at most 5). Default: 2 for
   * GET, HEAD, PUT, DELETE and OPTIONS, 0 for the others: set it for those only where a second try does no harm.
   */
  readonly retries?: number;
  /** Time limit for one try; a later try may still succeed. Default: `timeoutMs`. */
  readonly perTryTimeoutMs?: number;
  /**
   * `false` = send the call even when the last calls to the host all failed: for callers that have a breaker of their
   * own.
   */
  readonly breaker?: boolean;
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** By lower-case name; several values of one name are joined by `, `. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/**
 * HTTP client for a plugin's own calls. It bounds their time, size, number and redirects, and counts them under the
 * plugin's name.
 */
export interface HttpClient {
  /**
   * Resolves with any answer, a 500 too. Rejects with an `HttpError`, with a `NotDeclared` for a host that the
   * definition does not declare, or with a `QuotaExceeded` when the plugin has too many calls under way or made too
   * many recently.
   */
  request(options: HttpRequest): Promise<HttpAnswer>;
}

/**
 * `breaker_open` = the call was not sent, because the last calls to the host all failed; `closed_address` = the host's
 * address is one to which connections are not allowed; `bad_answer` = too large, not decodable, or redirected to
 * another origin.
 */
export type HttpErrorReason =
  | "timeout"
  | "aborted"
  | "connection"
  | "breaker_open"
  | "closed_address"
  | "bad_answer";

/** A call without an answer. Its message names the host and the cause, never the path, fields or credentials. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly reason: HttpErrorReason;

  /** @param host host with its port */
  constructor(host: string, reason: HttpErrorReason, why: string, cause?: unknown) {
    super(`${host}: ${why}`, { cause });
    this.reason = reason;
  }
}
