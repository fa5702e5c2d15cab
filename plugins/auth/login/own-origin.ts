// Whose page asks? Browsers send a session's cookies whoever asks, so what changes something, and WebSockets, which no
// CORS guards, are for the application's own pages alone.
import type { ExchangeRequest } from "../../../src/plugin-api/contract.ts";

/** These promise to change nothing (RFC 9110 section 9.2.1), and links of others must work. A preflight brings no cookies. */
function isSafe({ method, upgrade }: ExchangeRequest): boolean {
  return (method === "GET" || method === "HEAD") && upgrade === undefined;
}

/** Programs need not say where they come from; browsers do (Fetch standard). */
export function isByBrowser({ fields }: ExchangeRequest): boolean {
  return fields.has("origin") || fields.has("sec-fetch-site");
}

export class OwnOrigin {
  readonly #origins: ReadonlySet<string>;
  readonly #byHost: boolean;

  /**
   * @param publicUrl undefined = the origin that the request was sent to: a page cannot make a browser lie in Host
   * @param more origins that count as the own one
   */
  constructor(publicUrl: string | undefined, more: readonly string[]) {
    this.#byHost = publicUrl === undefined;
    this.#origins = new Set([...(publicUrl === undefined ? [] : [new URL(publicUrl).origin]), ...more]);
  }

  /** Whether a request with a session may do what it asks for. */
  admits(request: ExchangeRequest): boolean {
    return isSafe(request) || this.sent(request);
  }

  /** Whether a page of the own origin surely sent it. */
  sent({ fields, scheme, host }: ExchangeRequest): boolean {
    const origin = fields.get("origin");
    if (origin !== undefined && origin !== "null")
      return this.#origins.has(origin) || (this.#byHost && origin === `${scheme}://${host}`);
    // Without Origin, or with that of a page whose policy hides it: Fetch Metadata, which no script can set. A browser
    // that sends neither with these is older than both, and a program can send Origin.
    return fields.get("sec-fetch-site") === "same-origin";
  }
}
