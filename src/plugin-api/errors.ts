// Lists every way in which the sidecar itself refuses or fails a request: one closed table, code -> answer. A test
// compares the README's table with this one.

/** What an error answer looks like: status, `error` text, `title`, and the error type of RFC 9209 section 2.3. */
export interface ErrorKind {
  readonly status: number;
  /** Short text for the `error` member; one per status and cause, part of the public contract. */
  readonly error: string;
  /** Error type for the Proxy-Status field (RFC 9209 section 2.3). */
  readonly proxyStatus: string;
}

const kind = (status: number, error: string, proxyStatus: string): ErrorKind => ({
  status,
  error,
  proxyStatus,
});

export const errorKinds = {
  malformed_request: kind(400, "Bad request", "http_request_error"),
  authentication_required: kind(401, "Authentication required", "http_request_denied"),
  invalid_api_key: kind(401, "Invalid API key", "http_request_denied"),
  invalid_token: kind(401, "Invalid or expired token", "http_request_denied"),
  forbidden: kind(403, "Forbidden", "http_request_denied"),
  route_not_found: kind(404, "Route not found", "destination_not_found"),
  method_not_allowed: kind(405, "Method not allowed", "http_request_denied"),
  request_timeout: kind(408, "Request timeout", "http_request_error"),
  payload_too_large: kind(413, "Payload too large", "http_request_error"),
  unsupported_media_type: kind(415, "Unsupported media type", "http_request_error"),
  invalid_content: kind(422, "Unprocessable content", "http_request_error"),
  fields_too_large: kind(431, "Request header fields too large", "http_request_error"),
  rate_limited: kind(429, "Rate limit exceeded", "http_request_denied"),
  internal_error: kind(500, "Internal error", "proxy_internal_error"),
  not_implemented: kind(501, "Not implemented", "http_request_error"),
  upstream_unavailable: kind(502, "Upstream unavailable", "destination_unavailable"),
  upstream_refused: kind(502, "Upstream unavailable", "connection_refused"),
  upstream_reset: kind(502, "Upstream unavailable", "connection_terminated"),
  upstream_certificate: kind(502, "Upstream unavailable", "tls_certificate_error"),
  upstream_invalid_response: kind(502, "Upstream unavailable", "http_protocol_error"),
  proxy_loop: kind(502, "Upstream unavailable", "proxy_loop_detected"),
  not_ready: kind(503, "Service unavailable", "proxy_configuration_error"),
  draining: kind(503, "Service unavailable", "destination_unavailable"),
  overloaded: kind(503, "Service unavailable", "connection_limit_reached"),
  dependency_unavailable: kind(503, "Service unavailable", "proxy_internal_error"),
  plugin_disabled: kind(503, "Service unavailable", "proxy_configuration_error"),
  plugin_failed: kind(503, "Service unavailable", "proxy_internal_error"),
  upstream_timeout: kind(504, "Upstream timeout", "http_response_timeout"),
  upstream_connect_timeout: kind(504, "Upstream timeout", "connection_timeout"),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

export interface GatewayErrorOptions {
  /** For the log only; never sent to the client. */
  readonly cause?: unknown;
  /** Further response fields (`Allow`, `WWW-Authenticate`, `Retry-After` …): name, value, name, value. */
  readonly fields?: readonly string[];
  /** `type` of the problem document when there is a more exact one than `about:blank`. */
  readonly type?: string;
  /** Further members of the problem document. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** `Symbol.for`, so that all copies of this module in the process share the brand. */
const brand: unique symbol = Symbol.for("outrigger.error");

/**
 * A refusal or failure with a code of the table above. The client gets `detail`: put no secrets and no internals into
 * it.
 */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields: readonly string[];
  readonly type: string;
  readonly members: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, detail: string, options: GatewayErrorOptions = {}) {
    super(`${code}: ${detail}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.fields = options.fields ?? [];
    this.type = options.type ?? "about:blank";
    this.members = options.members ?? {};
  }

  get kind(): ErrorKind {
    return errorKinds[this.code];
  }

  /** Marks the error, so that another copy of this module (a plugin packaged with one) is recognised. */
  get [brand](): true {
    return true;
  }
}

/**
 * Turns what a plugin threw or answered with into an error of this very class.
 * @returns undefined when it is not a gateway error, or has parts from which no answer can be made
 */
export function gatewayErrorOf(value: unknown): GatewayError | undefined {
  if (!(value instanceof Error)) return undefined;
  try {
    if (!(brand in value)) return undefined;
    const { code, detail, fields, type, members } = value as Partial<GatewayError>;
    if (code === undefined || !Object.hasOwn(errorKinds, code)) return undefined;
    if (typeof detail !== "string" || typeof type !== "string" || !isFlat(fields)) return undefined;
    if (typeof members !== "object" || members === null) return undefined;
    if (value instanceof GatewayError) return value;
    // Read and copied once: the plugin's object might return something else later.
    const plain = JSON.parse(JSON.stringify(members)) as Record<string, unknown>;
    return new GatewayError(code, detail, { fields: [...fields], type, members: plain, cause: value.cause });
  } catch {
    return undefined;
  }
}

/** Whether the value is a list of name, value, name, value … */
export function isFlat(fields: unknown): fields is readonly string[] {
  return Array.isArray(fields) && fields.length % 2 === 0 && fields.every((text) => typeof text === "string");
}
