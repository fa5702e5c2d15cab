// Checks where a browser goes after login or logout: always a path of this origin, whatever the link says.
import { z } from "zod";

const plain = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/;

/** Path and query, as a policy writes the place to go to. */
export const localReference = z.string().regex(plain, "must be a path of this origin, percent-encoded");

/** The address waits in a cookie, and a browser may have several of those. */
const longest = 1_024;

/**
 * @param origin of this application
 * @returns the path with its query (without it where that is too long) if it certainly stays on the origin, else "/"
 */
export function safeReturn(asked: string | null, origin: string): string {
  const address = asked !== null && asked.length > longest ? asked.split("?", 1)[0] : asked;
  if (address === null || address === undefined || address.length > longest || !plain.test(address))
    return "/";
  const url = URL.canParse(address, origin) ? new URL(address, origin) : undefined;
  if (url?.origin !== new URL(origin).origin) return "/";
  // After dot segments are resolved, /a/..//host is //host, which is another origin.
  const path = url.pathname + url.search;
  return plain.test(path) ? path : "/";
}
