// Checks that a proof is for this request's URL as the client knows it. Behind proxies it can differ from the
// sidecar's.
import { normalisePath, PathError } from "../../../src/language/request-path.ts";
import type { ExchangeRequest } from "../../../src/plugin-api/contract.ts";

// Query and fragment are ignored (RFC 9449 section 4.3). User info, backslashes and blanks are refused.
const targetText = /^(https?:\/\/[^\s\\/?#@]+)(\/[^\s\\?#]*)?(?:[?#]|$)/i;

interface Target {
  readonly origin: string;
  readonly path: string;
}

/** Normalises by RFC 3986 sections 6.2.2 and 6.2.3: case, default port, escapes, dot segments, empty path. */
function readTarget(text: string): Target | undefined {
  const [, authority, path = "/"] = targetText.exec(text) ?? [];
  const origin = authority === undefined ? undefined : URL.parse(authority)?.origin;
  if (origin === undefined) return undefined;
  try {
    return { origin, path: normalisePath(path) };
  } catch (error) {
    if (error instanceof PathError) return undefined;
    throw error;
  }
}

export class PublicTargets {
  readonly #bases: readonly Target[];

  /** @param publicUrls empty = the request's own scheme and Host count */
  constructor(publicUrls: readonly string[]) {
    this.#bases = publicUrls.map((text) => {
      const { origin, pathname } = new URL(text);
      return { origin, path: pathname.replace(/\/$/, "") };
    });
  }

  /** @param htu the target URL in the proof */
  holds(htu: string, { scheme, host, path }: ExchangeRequest): boolean {
    const target = readTarget(htu);
    if (target === undefined) return false;
    if (this.#bases.length === 0)
      return target.path === path && target.origin === URL.parse(`${scheme}://${host}`)?.origin;
    return this.#bases.some((base) => target.origin === base.origin && target.path === base.path + path);
  }
}
