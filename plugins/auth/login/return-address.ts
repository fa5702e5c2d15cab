// Where a browser goes after the login or logout: a path of this origin, whatever the link says.
import { z } from "zod";

const plain = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/;

/** Path and query, as a policy names such a place. */
export const localReference = z.string().regex(plain, "must be a path of this origin, percent-encoded");

/** It waits in a cookie, of which a browser may have several. */
const longest = 1_024;

/**
 * @param origin of this application
 * @returns the path with its query (without, where that is too long) when it surely stays on the origin, else "/"
 */
export function safeReturn(asked: string | null, origin: string): string {
  const address = asked !== null && asked.length > longest ? asked.split("?", 1)[0] : asked;
  if (address === null || address === undefined || address.length > longest || !plain.test(address))
    return "/";
  const url = URL.canParse(address, origin) ? new URL(address, origin) : undefined;
  if (url?.origin !== new URL(origin).origin) return "/";
  // Once its dots are resolved, /a/..//host is //host: another origin.
  const path = url.pathname + url.search;
  return plain.test(path) ? path : "/";
}
