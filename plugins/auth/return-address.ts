// Where a browser goes after the login: a path of this origin, whatever the link says.

const plain = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/;

/**
 * @param origin of this application
 * @returns the path with its query when it surely stays on the origin, else "/"
 */
export function safeReturn(address: string | null, origin: string): string {
  if (address === null || address.length > 2_048 || !plain.test(address)) return "/";
  const url = URL.canParse(address, origin) ? new URL(address, origin) : undefined;
  if (url?.origin !== new URL(origin).origin) return "/";
  // Once its dots are resolved, /a/..//host is //host: another origin.
  const path = url.pathname + url.search;
  return plain.test(path) ? path : "/";
}
