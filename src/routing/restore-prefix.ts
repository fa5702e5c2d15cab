// Puts a route's stripped prefix back into references by which a service points at itself: redirects, content
// locations, and cookie paths. The service does not know of the prefix. Only if the policy asks for it
// (`restorePrefix`).
import type { Fields } from "../plugin-api/fields.ts";

export interface PrefixRule {
  /** The prefix that the route strips, such as `/api`. */
  readonly prefix: string;
  /** The path of the upstream's own URL, if any: it is removed. */
  readonly basePath: string | undefined;
  /** `host:port` of the upstream, which clients cannot reach. */
  readonly upstream: string;
}

/** @param host of the request, as the service saw it: references to other hosts stay unchanged */
export function restorePrefix(fields: Fields, rule: PrefixRule, host: string): void {
  for (const name of ["Location", "Content-Location"]) {
    const value = fields.get(name.toLowerCase());
    if (value !== undefined) fields.set(name, restoredUrl(value, rule, host));
  }
  const refresh = fields.get("refresh");
  if (refresh !== undefined) fields.set("Refresh", restoredRefresh(refresh, rule, host));
  const cookies = fields.getAll("set-cookie");
  if (cookies.length === 0) return;
  fields.delete("set-cookie");
  for (const cookie of cookies) fields.append("Set-Cookie", restoredCookie(cookie, rule));
}

/** A reference relative to the request's path stays: the client resolves it by the path that it knows. */
function restoredUrl(url: string, rule: PrefixRule, host: string): string {
  const [, scheme = "", authority, rest = ""] = /^(https?:)?\/\/([^/?#]*)(.*)$/is.exec(url) ?? [];
  if (authority === undefined) return url.startsWith("/") ? restoredPath(url, rule) : url;
  const path = restoredPath(rest.startsWith("/") ? rest : `/${rest}`, rule);
  const named = authority.toLowerCase();
  if (named === host) return `${scheme}//${authority}${path}`;
  return named === rule.upstream ? path : url;
}

/** @param path begins with `/`; includes query and fragment */
function restoredPath(path: string, { prefix, basePath }: PrefixRule): string {
  const bare = basePath !== undefined && isBelow(path, basePath) ? path.slice(basePath.length) : path;
  return `${prefix}${bare}`;
}

function isBelow(path: string, base: string): boolean {
  return path.startsWith(base) && /^(?:[/?#]|$)/.test(path.slice(base.length));
}

const refreshStart = /^\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?/i;

/** `5; url=/login`, parsed as browsers do. */
function restoredRefresh(value: string, rule: PrefixRule, host: string): string {
  const [start] = refreshStart.exec(value) ?? [];
  if (start === undefined) return value;
  // Not by a pattern: one that looks for the end takes quadratic time on a run of blanks.
  const rest = value.slice(start.length).trimEnd();
  const [first = ""] = rest;
  const isQuoted = (first === '"' || first === "'") && rest.length > 1 && rest.endsWith(first);
  const quote = isQuoted ? first : "";
  const url = isQuoted ? rest.slice(1, -1) : rest;
  return `${start}${quote}${restoredUrl(url, rule, host)}${quote}`;
}

function restoredCookie(cookie: string, rule: PrefixRule): string {
  // Browsers accept such a cookie only with the path /.
  if (/^\s*__host-/i.test(cookie)) return cookie;
  return cookie.replace(/(;\s*path\s*=\s*)(\/[^;]*)/i, (_all, name: string, path: string) => {
    const restored = restoredPath(path.trim(), rule);
    return `${name}${restored.length > 1 && restored.endsWith("/") && path.trim() === "/" ? restored.slice(0, -1) : restored}`;
  });
}
