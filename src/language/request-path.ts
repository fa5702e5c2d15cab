// Normalises request paths. The result is the one form that is matched, guarded, cached and forwarded.
import { pathHazard } from "../language/path-reading.ts";

/** A path that is refused. The message is fit for the client. */
export class PathError extends Error {
  override readonly name = "PathError";
}

// A path that is already normal: no escape, no dot segment, no empty segment, no parameter trick. Nearly all requests
// match.
const plain = /^(?:\/(?!\.{1,2}(?:[/;]|$))[A-Za-z0-9\-._~!$&'()*+,;=:@]+)*\/?$/;
const unreserved = /[A-Za-z0-9\-._~]/;
// Printable ASCII without "#" and space. Everything else must be percent-encoded.
const permitted = /^[\x21\x22\x24-\x7e]*$/;

/**
 * Normalises an absolute path (RFC 3986 section 6.2.2): decodes escapes of unreserved characters, writes other escapes
 * in upper case, removes dot segments, and merges runs of slashes (services differ on them, so `//admin` must not get
 * around a rule for `/admin`).
 * @throws PathError for malformed escapes, bytes that are not allowed, paths that leave the root, and paths that a
 * service could read as another one (`..%2F`, backslashes, escapes of escapes)
 */
export function normalisePath(path: string): string {
  if (path !== "" && plain.test(path)) return path;
  if (!path.startsWith("/")) throw new PathError("The path does not begin with a slash.");
  if (!permitted.test(path)) throw new PathError("The path holds characters that must be percent-encoded.");
  const decoded = path.replace(/%(..?)?/g, decodeEscape);
  const segments: string[] = [];
  const parts = decoded.split("/");
  const last = parts[parts.length - 1] as string;
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (segments.pop() === undefined) throw new PathError("The path leaves the root.");
      continue;
    }
    // `..;x` is a parent directory to some servlet containers and a name to others.
    if (/^\.{1,2};/.test(part)) throw new PathError("The path holds a dot segment with parameters.");
    segments.push(part);
  }
  const directory = last === "" || last === "." || last === "..";
  const normal = `/${segments.join("/")}${directory && segments.length > 0 ? "/" : ""}`;
  const hazard = pathHazard(normal);
  if (hazard !== undefined) throw new PathError(`The path ${hazard}.`);
  return normal;
}

function decodeEscape(escape: string): string {
  if (!/^%[0-9A-Fa-f]{2}$/.test(escape)) throw new PathError("The path holds a malformed percent-escape.");
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
  return unreserved.test(character) ? character : escape.toUpperCase();
}
