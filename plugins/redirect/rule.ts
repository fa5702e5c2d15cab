// Compiles a rule: which paths it matches, and the Location that it makes from a path.
import { foldCase } from "../../src/language/path-reading.ts";
import { targetOf } from "./target.ts";

interface Written {
  readonly from: string;
  readonly to: string;
  readonly query: "keep" | "drop";
  readonly when: { readonly methods: readonly string[] };
}

/**
 * @param query the request's query with its `?`, or ""
 * @returns the Location for that path; undefined = the rule does not match it
 */
export type Locate = (path: string, query: string) => string | undefined;

const isCapture = (segment: string): boolean => segment.startsWith("{");

/**
 * Characters other than those that may stand in a path or query (RFC 3986 sections 3.3, 3.4). They are encoded, above
 * all `\`, which browsers read as `/`.
 */
const notInUri = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/gu;

const encode = (text: string): string =>
  text.replace(notInUri, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`)
      .join(""),
  );

/**
 * Joins the segments after the prefix. Empty ones are left out: with `/*` as the target, `/old//evil.example` would
 * lead to another host.
 */
function joinRest(segments: readonly string[]): string {
  const last = segments.length - 1;
  return segments.filter((segment, index) => segment !== "" || index === last).join("/");
}

function joinQueries(own: string, from: string): string {
  if (own === "" || from.length < 2) return own === "" ? encode(from) : own;
  return `${own}${own === "?" ? "" : "&"}${encode(from.slice(1))}`;
}

/** @param foldsCase whether the service treats paths that differ only in case as the same */
export function compileRule({ from, to, query }: Written, foldsCase: boolean): Locate {
  const fold = (segment: string): string => (foldsCase ? foldCase(segment) : segment);
  const open = from.endsWith("/*");
  const parts = (open ? from.slice(0, -2) : from).split("/").slice(1);
  const wanted = parts.map((part) => (isCapture(part) ? undefined : fold(part)));
  const target = targetOf(to);
  const targetOpen = target.path.endsWith("/*");
  const pieces = (targetOpen ? target.path.slice(0, -2) : target.path).split("/").slice(1);
  /** Where each piece of `to` comes from: the index of a segment in the path, or the literal piece. */
  const sources = pieces.map((piece) => (isCapture(piece) ? parts.indexOf(piece) : piece));

  return function locate(path, requestQuery) {
    const segments = path.split("/").slice(1);
    if (open ? segments.length < wanted.length : segments.length !== wanted.length) return undefined;
    for (const [index, segment] of wanted.entries()) {
      const own = segments[index] as string;
      if (segment === undefined ? own === "" : segment !== fold(own)) return undefined;
    }
    const made = sources.map((source) =>
      typeof source === "number" ? (segments[source] as string) : source,
    );
    if (targetOpen && segments.length > wanted.length) made.push(joinRest(segments.slice(wanted.length)));
    const suffix = query === "keep" ? joinQueries(target.query, requestQuery) : target.query;
    return `${target.origin}/${encode(made.join("/"))}${suffix}`;
  };
}

/** Whether the rule matches its own target. A client would then follow redirects until it gives up. */
export function leadsToItself(rule: Written): boolean {
  const { methods } = rule.when;
  const comesBack = methods.length === 0 || methods.includes("GET");
  if (!rule.to.startsWith("/") || !comesBack) return false;
  const locate = compileRule({ ...rule, query: "drop" }, false);
  const sample = rule.from.replace(/\{\w+\}/g, "x").replace(/\/\*$/, "/x");
  const next = locate(sample, "")?.replace(/\?.*$/s, "");
  return next !== undefined && locate(next, "") !== undefined;
}
