// Checks URLs of other systems that the sidecar calls because a policy says so: issuers, introspection, decisions about
// requests.
import { z } from "zod";
import { isClosedAddress } from "./closed-addresses.ts";

const loopbackHosts = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Refuses URLs with user info, which would be a secret in a policy, and those of a link-local or metadata address. */
function readUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "" || url.hash !== "") return undefined;
  return isClosedAddress(url.hostname) ? undefined : url;
}

/**
 * Whether a URL may carry keys and tokens: https, or plain http to this machine. Never a link-local or metadata
 * address.
 */
export function isSafeUrl(text: string): boolean {
  const url = readUrl(text);
  if (url === undefined) return false;
  return url.protocol === "https:" || (url.protocol === "http:" && loopbackHosts.has(url.hostname));
}

export const safeUrl = z.string().refine(isSafeUrl, {
  error:
    "must be an https URL without user info or fragment, of no link-local address; plain http only to loopback",
});

/** As `safeUrl`, but plain http may go to any host: for options where another option allows or refuses plain http. */
export const httpUrl = z.string().refine((text) => /^https?:$/.test(readUrl(text)?.protocol ?? ""), {
  error: "must be an http or https URL without user info or fragment, of no link-local address",
});
