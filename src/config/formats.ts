// Strict parsers for the settings: each turns the text of one variable into a typed, frozen value, or throws a
// FormatError that names the fault. convict's own formats are not used: they take "12abc" for 12 and "no" for true
// (6.2.5).
import { textOf } from "../plugin-api/error-text.ts";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { hostPort } from "../language/address-text.ts";
import { parseJson } from "../language/json.ts";
import { overrideFields } from "../language/field-sets.ts";
import { type Network, parseNetwork } from "../language/network.ts";

/** The fault of a value; its text holds no secret. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** Reads a text file; throws like `readFileSync`. */
export type ReadFile = (path: string) => string;

/** Where a listener binds: `host` is an address or a name, never in brackets. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** The service's address, in the shape of the proxy's `UpstreamTarget`. */
export interface UpstreamAddress {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  readonly name: string;
  /** The prefix of every path: normalised, without a slash at its end; absent = none. */
  readonly basePath?: string;
}

/** A host that a route may name: exactly `host`, or, with `suffix`, every name that ends in `.host`. */
export interface HostPattern {
  readonly suffix: boolean;
  readonly host: string;
  readonly port: number;
}

/** Public keys in the form of RFC 7517 section 5. The code that imports a key checks its members. */
export interface PublicKeySet {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}…` : text);

/**
 * @param besides what the setting also accepts; only used in the message, as the setting parses it itself
 * @returns a parser of decimal integers from `min` to `max`, both included; no sign, no leading zero, no unit
 */
export function integer(min: number, max: number, besides?: string): (text: string) => number {
  return function parseInteger(text) {
    const value = /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new FormatError(
      `must be ${besides === undefined ? "" : `${besides} or `}an integer from ${min} to ${max}, not ${quote(text)}`,
    );
  };
}

/** @returns a parser of one of the words */
export function oneOf<const Word extends string>(...words: readonly Word[]): (text: string) => Word {
  return function parseWord(text) {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    throw new FormatError(`must be one of ${words.join(", ")}, not ${quote(text)}`);
  };
}

/** @returns a parser of texts that match the whole pattern */
export function matching(pattern: RegExp, what: string): (text: string) => string {
  return function parseMatching(text) {
    if (pattern.test(text)) return text;
    throw new FormatError(`must be ${what}, not ${quote(text)}`);
  };
}

/** Checks a file path; the file is not opened. */
export function parsePath(text: string): string {
  if (!text.includes("\0")) return text;
  throw new FormatError("must be a path, without NUL");
}

/** Path and query of a request, as on the wire. */
export const parseRequestTarget = matching(/^\/[\x21\x22\x24-\x7e]{0,1023}$/, "a path such as /healthz");

/** A bearer token: visible ASCII, as no other text could arrive in an Authorization field (RFC 9110 section 5.5). */
export function parseToken(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new FormatError("must be visible ASCII characters without spaces");
}

const label = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
const hostName = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`);

function isHost(host: string): boolean {
  // Some software would read a last label of only digits as an IPv4 address; other software refuses it.
  return isIP(host) !== 0 || (hostName.test(host) && !/(^|\.)\d+$/.test(host));
}

/** Splits `host:port` or `[ipv6]:port`, else `undefined`. The host comes back in lower case, without brackets. */
function splitHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:]+)):(0|[1-9]\d{0,4})$/.exec(text);
  if (match === null) return undefined;
  const [, six, other, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (six !== undefined)
    return isIP(six) === 6 && !six.includes("%") ? { host: plainHost(six), port } : undefined;
  return isHost(other as string) ? { host: (other as string).toLowerCase(), port } : undefined;
}

/** The canonical text of an address; IPv4 mapped into IPv6 becomes IPv4. */
function plainHost(address: string): string {
  return ipaddr.process(address).toString();
}

/** The path after `unix:`: absolute, and short enough for `sockaddr_un` (108 bytes with the final NUL on Linux). */
function parseSocketPath(text: string): string {
  const path = text.slice("unix:".length);
  if (path.startsWith("/") && !path.includes("\0") && Buffer.byteLength(path) <= 107) return path;
  throw new FormatError(`must be unix:/path with an absolute path of at most 107 bytes, not ${quote(text)}`);
}

/** `host:port` (port 0 = any free one), `[::]:port` or `unix:/path`. */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) return { path: parseSocketPath(text) };
  const address = splitHostPort(text);
  if (address !== undefined) return address;
  throw new FormatError(`must be host:port, [ipv6]:port or unix:/path, not ${quote(text)}`);
}

/** Several listen addresses, comma-separated. */
export function parseListens(text: string): readonly ListenAddress[] {
  const list = members(text).map(parseListen);
  const names = list.map((each) => ("path" in each ? each.path : hostPort(each.host, each.port)));
  const twice = list.find(
    (each, at) => !("port" in each && each.port === 0) && names.indexOf(names[at] as string) !== at,
  );
  if (list.length === 0) throw new FormatError("is empty: give host:port, [ipv6]:port or unix:/path");
  if (list.length > 16) throw new FormatError("must hold at most 16 addresses");
  if (twice !== undefined) throw new FormatError(`must not name ${names[list.indexOf(twice)]} twice`);
  return list;
}

/** The mode of a file, in octal, as for chmod. */
export function parseMode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new FormatError(`must be an octal mode such as 0660, not ${quote(text)}`);
}

// Only paths with a single reading: no escapes, no dot segments, no empty segments.
const basePath = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9\-._~!$&'()*+,=:@]+)*$/;

/**
 * Parses `http://host[:port][/base]`, `https://host[:port][/base]` or `unix:/path`: no user info, query or fragment.
 * `isUpstreamAllowed` decides whether the host may be used.
 */
export function parseUpstream(text: string): UpstreamAddress {
  if (text.startsWith("unix:")) {
    const socketPath = parseSocketPath(text);
    return { tls: false, host: "localhost", port: 0, socketPath, name: `unix:${socketPath}` };
  }
  const match = /^(https?):\/\/([^/?#]+?)(:\d+)?(\/[^?#]*)?$/i.exec(text);
  const tls = match?.[1]?.toLowerCase() === "https";
  const address = match && splitHostPort(`${match[2]}${match[3] ?? (tls ? ":443" : ":80")}`);
  const base = match?.[4]?.replace(/\/$/, "") ?? "";
  if (address && address.port !== 0 && basePath.test(base)) {
    const name = hostPort(address.host, address.port);
    return { tls, ...address, socketPath: undefined, name, ...(base === "" ? {} : { basePath: base }) };
  }
  // The text is not quoted: it may be an address that contains a password.
  throw new FormatError(
    "must be http://host:port, https://host:port (with a plain base path or none, without user or query) or unix:/path",
  );
}

/** Whether the host is this machine, without asking a resolver: 127.0.0.0/8, ::1 (also mapped), localhost. */
export function isLoopbackHost(host: string): boolean {
  // An address with a zone belongs to a link, so it is another machine; ipaddr.js throws at many of them.
  if (isIP(host) !== 0) return !host.includes("%") && ipaddr.process(host).range() === "loopback";
  const name = host.toLowerCase();
  return name === "localhost" || name.endsWith(".localhost");
}

/** Whether an upstream is on this machine or among the allowed hosts. */
export function isUpstreamAllowed(target: UpstreamAddress, allow: readonly HostPattern[]): boolean {
  if (target.socketPath !== undefined || isLoopbackHost(target.host)) return true;
  return isAmong(target, allow);
}

/** @param host in lower case, IPv6 without brackets */
export function isAmong(
  { host, port }: { readonly host: string; readonly port: number },
  patterns: readonly HostPattern[],
): boolean {
  return patterns.some(
    (pattern) =>
      pattern.port === port && (pattern.suffix ? host.endsWith(`.${pattern.host}`) : host === pattern.host),
  );
}

/** The members of a comma-separated list; blanks around them are dropped, an empty member is refused. */
export function members(text: string): string[] {
  if (text === "") return [];
  const list = text.split(",").map((member) => member.trim());
  if (!list.includes("")) return list;
  throw new FormatError("has an empty member between its commas");
}

/** `host:port` and `*.suffix:port`, comma-separated. */
export function parseHostPatterns(text: string): readonly HostPattern[] {
  return members(text).map((member) => {
    const suffix = member.startsWith("*.");
    const address = splitHostPort(suffix ? member.slice(2) : member);
    if (address !== undefined && address.port !== 0 && !(suffix && isIP(address.host) !== 0)) {
      return { suffix, ...address };
    }
    throw new FormatError(`must hold host:port or *.suffix:port, not ${quote(member)}`);
  });
}

/** Names of method, path and host overrides, comma-separated. */
export function parseOverrideFields(text: string): readonly string[] {
  return members(text).map((member) => {
    const lower = member.toLowerCase();
    if (overrideFields.has(lower)) return lower;
    throw new FormatError(`must hold some of ${[...overrideFields].join(", ")}, not ${quote(member)}`);
  });
}

/** Networks (`10.0.0.0/8`, `fd00::/8`) and single addresses, comma-separated. */
export function parseCidrs(text: string): readonly Network[] {
  return members(text).map((member) => {
    const network = parseNetwork(member);
    if (network !== undefined) return network;
    throw new FormatError(`must hold networks such as 10.0.0.0/8 or fd00::/8, not ${quote(member)}`);
  });
}

/** Networks, single addresses, and `unix` for clients of a unix socket; comma-separated. */
export function parseTrustedPeers(text: string): readonly (Network | "unix")[] {
  return members(text).flatMap<Network | "unix">((member) =>
    member === "unix" ? member : parseCidrs(member),
  );
}

/** A JWKS, inline or the path of a file that holds one. Private keys are refused: they do not belong beside a proxy. */
export function parsePublicKeys(text: string, readFile: ReadFile): PublicKeySet {
  const inline = text.trimStart().startsWith("{");
  const json = inline ? text : readNamedFile(text, readFile);
  let document: unknown;
  try {
    document = parseJson(json);
  } catch {
    throw new FormatError(inline ? "is not JSON" : `${shownPath(text)} is not JSON`);
  }
  const keys: unknown = (document as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new FormatError('must be a JWKS: { "keys": [ … ] } with at least one key');
  }
  for (const key of keys as readonly unknown[]) {
    if (typeof key !== "object" || key === null || typeof (key as { kty?: unknown }).kty !== "string") {
      throw new FormatError("holds a key without kty");
    }
    if ("d" in key || "k" in key)
      throw new FormatError("holds a private or secret key: give the public ones");
  }
  return { keys: keys as Record<string, unknown>[] };
}

/** The path in the form for problem texts: on one line. */
export function shownPath(path: string): string {
  return /^[\x21-\x7e]{1,200}$/.test(path) ? path : quote(path);
}

/** @throws FormatError that names the file if it cannot be read or is empty */
export function readNamedFile(path: string, readFile: ReadFile): string {
  let text: string;
  try {
    text = readFile(parsePath(path));
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${shownPath(path)} cannot be read: ${reason(error)}`);
  }
  if (text.trim() === "") throw new FormatError(`${shownPath(path)} is an empty file`);
  return text;
}

/** The code of a system error (`ENOENT`), otherwise its message. */
export function reason(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code ?? textOf(error);
}
