// Decides whose page sent a request. Browsers send a session's cookies with requests of any page. So only the
// application's own pages may send requests that change something, or open WebSockets, which CORS does not guard.
import type { ExchangeRequest } from "../../../src/plugin-api/contract.ts";

/**
 * Safe methods change nothing (RFC 9110 section 9.2.1), and links from other sites must work. OPTIONS is not needed: a
 * preflight carries no cookies.
 */
function isSafe({ method, upgrade }: ExchangeRequest): boolean {
  return (method === "GET" || method === "HEAD") && upgrade === undefined;
}

/** Whether a browser sent the request. Browsers say where it comes from (Fetch standard); programs need not. */
export function isByBrowser({ fields }: ExchangeRequest): boolean {
  return fields.has("origin") || fields.has("sec-fetch-site");
}

export class OwnOrigin {
  readonly #origins: ReadonlySet<string>;
  readonly #byHost: boolean;

  /**
   * @param publicUrl undefined = the origin that the request was sent to counts, as a page cannot forge a browser's
   * Host
   * @param more further origins that count as the own one
   */
  constructor(publicUrl: string | undefined, more: readonly string[]) {
    this.#byHost = publicUrl === undefined;
    this.#origins = new Set([...(publicUrl === undefined ? [] : [new URL(publicUrl).origin]), ...more]);
  }

  /** Whether a request with a session may do what it asks for. */
  admits(request: ExchangeRequest): boolean {
    return isSafe(request) || this.sent(request);
  }

  /** Whether a page of the own origin certainly sent the request. */
  sent({ fields, scheme, host }: ExchangeRequest): boolean {
    const origin = fields.get("origin");
    if (origin !== undefined && origin !== "null")
      return this.#origins.has(origin) || (this.#byHost && origin === `${scheme}://${host}`);
    // There is no Origin, or the page's policy hides it: use Fetch Metadata, which no script can set. A browser that
    // sends neither for such requests is older than both, and a program can send Origin.
    return fields.get("sec-fetch-site") === "same-origin";
  }
}
