// Checks a request head between the parser and the chain. It refuses what llhttp lets through and a sidecar must not
// (contract section 8), and keeps the fields that may go on. What is checked here is exactly what is forwarded.
import { GatewayError } from "../plugin-api/errors.ts";
import { type DropsField, Fields } from "../plugin-api/fields.ts";
import { isHopByHop } from "./hop-by-hop.ts";
import { readContentLength } from "./content-length.ts";
import { normalisePath, PathError } from "../language/request-path.ts";

/** A request head as it was received. */
export interface ReceivedHead {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  /** For example `1.1`; checked here. Without `framing`, it must be 1.x. */
  readonly httpVersion: string;
  /** name, value, name, value … */
  readonly fields: readonly string[];
  /** How the body is framed, if not by fields: `chunked` = its length is not announced. */
  readonly framing?: RequestHead["body"] | undefined;
}

export interface RequestHead {
  readonly method: string;
  /** Normalised path; `*` for `OPTIONS *`. */
  readonly path: string;
  /** Includes the `?`; "" if there is none. */
  readonly query: string;
  /** Lower-case authority; "" only for HTTP/1.0 without Host. */
  readonly host: string;
  /** End-to-end fields without those that a client may not set. */
  readonly fields: Fields;
  /** Cookies of plugins, removed from `fields`. */
  readonly ownedCookies: string | undefined;
  /** Tests whether a field is dropped from `fields`; the same ones are dropped from the trailers. */
  readonly drops: DropsField;
  /** The client's TE field. */
  readonly te: string | undefined;
  /** Lower-case protocol of an Upgrade request. */
  readonly upgrade: string | undefined;
  readonly body: "none" | "sized" | "chunked";
  /** Announced bytes of a sized body, else 0. */
  readonly contentLength: number;
  readonly expectsContinue: boolean;
}

/** Fields that decide framing, routing or trust, found in one pass. */
interface Marks {
  host: string | undefined;
  hosts: number;
  connection: string | undefined;
  transferEncoding: string | undefined;
  contentLength: string | undefined;
  expect: string | undefined;
  upgrade: string | undefined;
  te: string | undefined;
}

/** Further rules for the parts of a head that go on. */
export interface HeadRules {
  /** Takes out the cookies that plugins keep for themselves; undefined = there are none. */
  readonly cookies: { take(fields: Fields): string | undefined } | undefined;
  /** Whether fields with `_` in their name are forwarded. */
  readonly keepsUnderscores: boolean;
}

const malformed = (detail: string): GatewayError => new GatewayError("malformed_request", detail);

/**
 * Checks a received head and selects what is forwarded.
 * @param isOwned whether the sidecar itself sets a field of that name (lower case, `-` for `_`)
 * @throws GatewayError `malformed_request`
 */
export function parseRequestHead(
  received: ReceivedHead,
  isOwned: (name: string) => boolean,
  { cookies, keepsUnderscores }: HeadRules,
): RequestHead {
  // The parser takes any two digits, and 2.0 for a form without Host (RFC 9112 section 2.3).
  const { method, httpVersion, framing, fields: flat } = received;
  if (framing === undefined && httpVersion !== "1.1" && httpVersion !== "1.0")
    throw malformed("Only HTTP/1.1 and HTTP/1.0 are spoken here.");
  const marks = readMarks(flat);
  const body = framing === undefined ? checkFraming(marks, httpVersion) : announced(framing, marks);
  const host = checkHost(marks, httpVersion);
  const { path, query } = parseTarget(received.target, method, host);
  const upgrade =
    marks.upgrade !== undefined && namesUpgrade(marks.connection) ? marks.upgrade.toLowerCase() : undefined;
  const stopsHere = isHopByHop(marks.connection);
  const drops = (lower: string, underscored: boolean): boolean =>
    (underscored && !keepsUnderscores) || stopsHere(lower) || isOwned(lower);
  const fields = new Fields(flat, drops);
  // Forwards exactly what was checked.
  if (marks.host?.endsWith(":") === true) fields.set("Host", host);
  return {
    method,
    path,
    query,
    host,
    fields,
    ownedCookies: cookies?.take(fields),
    drops,
    te: marks.te,
    upgrade,
    body,
    contentLength: body === "sized" ? Number(marks.contentLength) : 0,
    expectsContinue: httpVersion !== "1.0" && marks.expect?.toLowerCase() === "100-continue",
  };
}

let markedLengths = 0;
for (const length of [2, 4, 6, 7, 10, 14, 17]) markedLengths |= 1 << length;

function readMarks(raw: readonly string[]): Marks {
  const marks: Marks = {
    host: undefined,
    hosts: 0,
    connection: undefined,
    transferEncoding: undefined,
    contentLength: undefined,
    expect: undefined,
    upgrade: undefined,
    te: undefined,
  };
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    // Compares lengths first: most fields are none of these and need no lower-casing here.
    const { length } = name;
    if (length > 17 || (markedLengths & (1 << length)) === 0) continue;
    const value = raw[i + 1] as string;
    switch (name.toLowerCase()) {
      case "host":
        marks.host = value;
        marks.hosts += 1;
        break;
      case "connection":
        marks.connection = marks.connection === undefined ? value : `${marks.connection},${value}`;
        break;
      case "transfer-encoding":
        marks.transferEncoding =
          marks.transferEncoding === undefined ? value : `${marks.transferEncoding},${value}`;
        break;
      case "content-length":
        marks.contentLength = value;
        break;
      case "expect":
        marks.expect = value;
        break;
      case "upgrade":
        marks.upgrade = marks.upgrade === undefined ? value : `${marks.upgrade},${value}`;
        break;
      case "te":
        marks.te = marks.te === undefined ? value : `${marks.te},${value}`;
        break;
      default:
    }
  }
  return marks;
}

// llhttp itself refuses both lengths together, and a repeated or malformed Content-Length.
function checkFraming({ transferEncoding, contentLength }: Marks, httpVersion: string): RequestHead["body"] {
  if (transferEncoding !== undefined) {
    if (transferEncoding.toLowerCase() !== "chunked") {
      throw malformed("The only Transfer-Encoding accepted is chunked, alone.");
    }
    // RFC 9112 section 6.1: faulty framing in an HTTP/1.0 message.
    if (httpVersion === "1.0") throw malformed("Transfer-Encoding in an HTTP/1.0 request.");
    return "chunked";
  }
  if (contentLength === undefined) return "none";
  if (!Number.isSafeInteger(Number(contentLength))) throw malformed("Content-Length is too large.");
  return contentLength === "0" ? "none" : "sized";
}

/** Over HTTP/2, fields do not frame the body, but must agree with its framing. */
function announced(
  framing: RequestHead["body"],
  { transferEncoding, contentLength }: Marks,
): RequestHead["body"] {
  if (transferEncoding !== undefined) throw malformed("There is no Transfer-Encoding in HTTP/2.");
  if (contentLength === undefined) return framing;
  if (readContentLength(contentLength) === undefined) throw malformed("Content-Length is not one number.");
  if (framing === "none" && contentLength !== "0")
    throw malformed("Content-Length announces a body that does not come.");
  return contentLength === "0" ? "none" : framing;
}

const authority = /^(?:[a-z0-9._~%-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?$/;

function checkHost({ host, hosts }: Marks, httpVersion: string): string {
  if (hosts === 0 && httpVersion === "1.0") return "";
  if (hosts !== 1 || host === undefined) throw malformed("Exactly one Host field is needed.");
  const lower = host.toLowerCase();
  if (!authority.test(lower)) throw malformed("The Host field is not a host with an optional port.");
  return withoutEmptyPort(lower);
}

/** `a.test:` is `a.test` (RFC 3986 section 3.2.3). */
function withoutEmptyPort(host: string): string {
  return host.endsWith(":") ? host.slice(0, -1) : host;
}

function parseTarget(target: string, method: string, host: string): { path: string; query: string } {
  if (target === "*") {
    if (method !== "OPTIONS") throw malformed("The target * is for OPTIONS only.");
    return { path: "*", query: "" };
  }
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  if (/[^\x21-\x7e]|#/.test(target))
    throw malformed("The target holds a fragment or a byte that is not printable ASCII.");
  const origin = target.startsWith("/") ? target : originForm(target, host);
  const mark = origin.indexOf("?");
  try {
    return mark === -1
      ? { path: normalisePath(origin), query: "" }
      : { path: normalisePath(origin.slice(0, mark)), query: origin.slice(mark) };
  } catch (error) {
    if (error instanceof PathError) throw malformed(error.message);
    throw error;
  }
}

/** Absolute form (RFC 9112 section 3.2.2): its authority must be the one that Host names. */
function originForm(target: string, host: string): string {
  const match = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
  if (match === null) throw malformed("The target is neither a path nor an http URL.");
  if (withoutEmptyPort((match[1] as string).toLowerCase()) !== host)
    throw malformed("The target's authority and the Host field disagree.");
  const rest = match[2] as string;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function namesUpgrade(connection: string | undefined): boolean {
  return connection !== undefined && /(?:^|,)[ \t]*upgrade[ \t]*(?:,|$)/i.test(connection);
}
