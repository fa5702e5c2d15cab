// Checks the `origins` of a policy when it is read, and compiles them to exact strings and anchored patterns.

/** Scheme, an optional `*.`, host and port. The port may be `*`. */
const originPattern = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?([^/*:[\]@?#\s]+|\[[0-9a-f:.]+\])(?::(\*|\d{1,5}))?$/;

/** More than any origin with a real host name (253 bytes) has. Longer values never reach the patterns. */
const maxOriginLength = 512;

/**
 * @returns what is wrong with an entry of `origins`, where it helps with the form browsers send; undefined = nothing
 */
export function originProblem(entry: string): string | undefined {
  if (entry === "*" || entry === "null") return undefined;
  const parts = originPattern.exec(entry);
  if (parts === null) return "must be scheme://host or scheme://host:port in lower case, without a path";
  const [, scheme, wildcard, host, port] = parts as unknown as [string, string, string?, string?, string?];
  if (wildcard !== undefined && /^\[|(^|\.)\d+$/.test(host as string)) {
    return "*. stands for labels of a name; an IP address has none";
  }
  const numberOfPort = port === undefined || port === "*" ? "" : `:${port}`;
  const exact = `${scheme}://${host}${numberOfPort}`;
  const sent = originAsSent(exact);
  if (sent === undefined) return "is not a valid origin";
  return sent === exact ? undefined : `would never match: browsers send ${sent}`;
}

/** @returns the origin as a browser serialises it (HTML standard): lower case, punycode, no default port */
function originAsSent(origin: string): string | undefined {
  const url = URL.parse(origin);
  if (url === null) return undefined;
  if (url.origin !== "null") return url.origin;
  // Schemes without a standard origin (browser extensions, app shells) are sent as they are.
  return `${url.protocol}//${url.host}`;
}

/**
 * Compiles `origins`. The result compares whole origins byte for byte, or by an anchored pattern, never by substring.
 * So `https://app.example.com.evil.net` and `https://evilexample.com` do not pass for `example.com`.
 */
export function compileOrigins(entries: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const patterns: RegExp[] = [];
  for (const entry of entries) {
    if (entry === "*") return () => true;
    if (entry.includes("*")) patterns.push(compilePattern(entry));
    else exact.add(entry);
  }
  // Most pages that call a service have one origin, and a Set would hash it anew for each request.
  let usual: string | undefined;
  return function isAllowed(origin) {
    if (origin === usual) return true;
    if (exact.has(origin)) {
      // The policy's own string: that of the request keeps its whole head in memory.
      usual = entries.find((entry) => entry === origin);
      return true;
    }
    return origin.length <= maxOriginLength && patterns.some((pattern) => pattern.test(origin));
  };
}

/** Escapes text for use in a pattern. `RegExp.escape` came only with Node 24. */
const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);

/** A label cannot hold the dot that ends it, so the pattern runs in linear time. */
function compilePattern(entry: string): RegExp {
  const anyPort = entry.endsWith(":*");
  const [scheme = "", host = ""] = (anyPort ? entry.slice(0, -2) : entry).split("://");
  const wildcard = host.startsWith("*.");
  const fixed = literal(wildcard ? host.slice(2) : host);
  const labels = wildcard ? "(?:[a-z0-9_-]+\\.)+" : "";
  return new RegExp(`^${literal(scheme)}://${labels}${fixed}${anyPort ? "(?::\\d{1,5})?" : ""}$`);
}
