// Parses Cache-Control (RFC 9111 section 5.2) and its targeted forms (RFC 9213), once per response or request.
// Malformed text counts against reuse: a broken lifetime is 0, a broken field means "do not store".
import { parseDictionary } from "structured-headers";
import { fieldKey } from "../../../src/plugin-api/contract.ts";

/** Directives of a response. Lifetimes in seconds; undefined = absent. */
export interface ResponseDirectives {
  readonly noStore: boolean;
  readonly noCache: boolean;
  /** Fields of the qualified form `no-cache="a, b"`, lower case. */
  readonly noCacheFields: readonly string[];
  readonly isPrivate: boolean;
  readonly privateFields: readonly string[];
  readonly isPublic: boolean;
  readonly mustRevalidate: boolean;
  readonly proxyRevalidate: boolean;
  readonly mustUnderstand: boolean;
  readonly immutable: boolean;
  readonly maxAge: number | undefined;
  readonly sMaxAge: number | undefined;
  readonly staleWhileRevalidate: number | undefined;
  readonly staleIfError: number | undefined;
}

/** Directives of a request. Seconds; `maxStale` is Infinity without an argument. */
export interface RequestDirectives {
  readonly noStore: boolean;
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
  readonly maxAge: number | undefined;
  readonly minFresh: number | undefined;
  readonly maxStale: number | undefined;
  readonly staleIfError: number | undefined;
}

/** 2^31 stands for every larger number of seconds, which must not overflow (RFC 9111 section 1.2.2). */
const maxSeconds = 2_147_483_648;

type Arguments = Map<string, (string | true)[]>;

// Most services send the same few values again and again.
const memo = new Map<string, ResponseDirectives>();
const maxMemo = 256;
const maxMemoLength = 256;
let lastValue = "";
let lastParsed: ResponseDirectives | undefined;

/** @param value the combined field value; undefined = no such field */
export function parseResponseDirectives(value = ""): ResponseDirectives {
  if (value === lastValue && lastParsed !== undefined) return lastParsed;
  lastValue = value;
  lastParsed = memo.get(value) ?? parseAnew(value);
  return lastParsed;
}

function parseAnew(value: string): ResponseDirectives {
  const parsed = parseDirectives(value);
  if (memo.size >= maxMemo) memo.clear();
  if (value.length <= maxMemoLength) memo.set(value, parsed);
  return parsed;
}

function parseDirectives(value: string): ResponseDirectives {
  const { found, broken } = split(value);
  const noCache = found.get("no-cache");
  const isPrivate = found.get("private");
  return {
    // An unclosed quote hides the rest of the value, which may contain no-store.
    noStore: broken || found.has("no-store"),
    noCache: noCache?.some((argument) => fieldList(argument).length === 0) ?? false,
    noCacheFields: noCache?.flatMap(fieldList) ?? [],
    isPrivate: isPrivate?.some((argument) => fieldList(argument).length === 0) ?? false,
    privateFields: isPrivate?.flatMap(fieldList) ?? [],
    isPublic: found.has("public"),
    mustRevalidate: found.has("must-revalidate"),
    proxyRevalidate: found.has("proxy-revalidate"),
    mustUnderstand: found.has("must-understand"),
    immutable: found.has("immutable"),
    maxAge: lifetime(found, "max-age"),
    sMaxAge: lifetime(found, "s-maxage"),
    staleWhileRevalidate: lifetime(found, "stale-while-revalidate"),
    staleIfError: lifetime(found, "stale-if-error"),
  };
}

/** @param value the combined field value of a request */
export function parseRequestDirectives(value: string): RequestDirectives {
  const { found } = split(value);
  const maxStale = found.get("max-stale");
  return {
    noStore: found.has("no-store"),
    noCache: found.has("no-cache"),
    onlyIfCached: found.has("only-if-cached"),
    maxAge: lifetime(found, "max-age"),
    // A malformed min-fresh becomes 0, which asks for nothing.
    minFresh: lifetime(found, "min-fresh"),
    maxStale: maxStale?.[0] === true ? Infinity : lifetime(found, "max-stale"),
    staleIfError: lifetime(found, "stale-if-error"),
  };
}

/**
 * Parses a targeted field, a Structured Fields dictionary (RFC 9213 section 2.1).
 * @returns undefined when it is empty or invalid, in which case it counts as absent
 */
export function parseTargetedDirectives(value: string): ResponseDirectives | undefined {
  let dictionary;
  try {
    dictionary = parseDictionary(value);
  } catch {
    return undefined;
  }
  if (dictionary.size === 0) return undefined;
  const members: string[] = [];
  for (const [name, [bare]] of dictionary) {
    if (bare === true) members.push(name);
    else if (typeof bare === "number" && Number.isInteger(bare) && bare >= 0) members.push(`${name}=${bare}`);
    else if (name.startsWith("max-") || name.startsWith("s-") || name.startsWith("stale-")) return undefined;
    else if (typeof bare === "string") members.push(`${name}="${bare}"`);
  }
  return parseResponseDirectives(members.join(", "));
}

function fieldList(argument: string | true): string[] {
  if (argument === true) return [];
  return argument
    .split(",")
    .map((name) => fieldKey(name.trim()))
    .filter((name) => name !== "");
}

/** @returns seconds; 0 = stale, for an invalid value or several different ones (RFC 9111 section 4.2.1) */
function lifetime(found: Arguments, name: string): number | undefined {
  const values = found.get(name);
  if (values === undefined) return undefined;
  const first = values[0] as string | true;
  if (first === true || !/^\d+$/.test(first)) return 0;
  if (values.some((value) => value !== first)) return 0;
  return Math.min(Number(first), maxSeconds);
}

/** Splits a value at commas outside quoted strings. `broken`: a quoted string does not end. */
function split(value: string): { found: Arguments; broken: boolean } {
  const found: Arguments = new Map();
  let at = 0;
  while (at < value.length) {
    let name = "";
    while (at < value.length && value[at] !== "," && value[at] !== "=") name += value[at++];
    let argument: string | true = true;
    if (value[at] === "=") {
      const read = readArgument(value, at + 1);
      if (read === undefined) return { found, broken: true };
      argument = read.text;
      at = read.next;
      // The grammar does not allow "max-age =60"; an empty argument makes its lifetime invalid.
      if (/\s$/.test(name)) argument = "";
    }
    at += 1;
    const lower = name.trim().toLowerCase();
    if (lower === "") continue;
    const values = found.get(lower);
    if (values === undefined) found.set(lower, [argument]);
    else values.push(argument);
  }
  return { found, broken: false };
}

function readArgument(value: string, start: number): { text: string; next: number } | undefined {
  if (value[start] !== '"') {
    const comma = value.indexOf(",", start);
    const end = comma === -1 ? value.length : comma;
    // A leading blank is kept, so that "max-age= 60" is invalid.
    return { text: value.slice(start, end).trimEnd(), next: end };
  }
  let text = "";
  for (let at = start + 1; at < value.length; at += 1) {
    if (value[at] === "\\") text += value[++at] ?? "";
    else if (value[at] === '"') {
      const comma = value.indexOf(",", at);
      const end = comma === -1 ? value.length : comma;
      // Bytes after the closing quote make the argument invalid as a number.
      return { text: text + value.slice(at + 1, end).trim(), next: end };
    } else text += value[at];
  }
  return undefined;
}
