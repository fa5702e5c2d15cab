// Where a browser goes after the login: a path of this origin, whatever the link says.

const plain = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/;

/**
 * @param origin of this application
 * @returns the path with its query when it surely stays on the origin, else "/"
 */
export function safeReturn(address: string | null, origin: string): string {
  if (address === null || address.length > 2_048 || !plain.test(address)) return "/";
  // What browsers make of it is what the URL standard says; tabs and the like are gone by now.
  const url = URL.canParse(address, origin) ? new URL(address, origin) : undefined;
  return url?.origin === new URL(origin).origin ? url.pathname + url.search : "/";
}
