// Checks and splits what rules are written in: paths with captures of whole segments, and targets. Only the policy sets
// a target's host.
import { pathPattern } from "../../src/language/path-pattern.ts";

const capture = /^\{([a-z][a-zA-Z0-9]{0,31})\}$/;

/** @returns the names of the captures, in order */
const capturesOf = (path: string): string[] =>
  path.split("/").flatMap((segment) => capture.exec(segment)?.[1] ?? []);

/** Turns the path into an ordinary path pattern: a literal segment stands in for each capture. */
const asPattern = (path: string): string =>
  path
    .split("/")
    .map((segment) => (capture.test(segment) ? "x" : segment))
    .join("/");

const patternProblem = (path: string): string | undefined =>
  pathPattern.safeParse(asPattern(path)).error?.issues[0]?.message;

export function fromProblem(from: string): string | undefined {
  const names = capturesOf(from);
  if (new Set(names).size < names.length) return "has two captures of one name";
  return patternProblem(from);
}

const host = /^(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;

export function hostProblem(text: string): string | undefined {
  return host.test(text) ? undefined : "must be a host, or host:port, in lower case";
}

export interface Target {
  /** `https://host`, or "" for the host of the request. */
  readonly origin: string;
  readonly path: string;
  /** With its `?`, or "". */
  readonly query: string;
}

export function targetOf(to: string): Target {
  const [, origin = "", path = "", query = ""] = /^([a-z]+:\/\/[^/?]*)?([^?]*)(\?.*)?$/s.exec(to) ?? [];
  return { origin, path: path === "" && origin !== "" ? "/" : path, query };
}

/** @returns what is wrong with a target, given its `from`; undefined = nothing */
export function toProblem(to: string, from: string): string | undefined {
  const { origin, path, query } = targetOf(to);
  if (origin !== "") {
    // Must be written as browsers write it. If they read it differently, it could be another host.
    const read = URL.parse(origin);
    if (read === null || !/^https?:$/.test(read.protocol))
      return "must be http:// or https:// with a host, or a path";
    if (hostProblem(origin.replace(/^https?:\/\//, "")) !== undefined && read.origin === origin) {
      return "must have a host of letters, digits, dashes and dots";
    }
    if (read.origin !== origin) return `has another host than it seems: write ${read.origin}`;
  }
  const problem = patternProblem(path);
  if (problem !== undefined) return `its path ${problem}`;
  if (!/^(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?$/.test(query)) return "has a query that is not encoded";
  const known = capturesOf(from);
  const unknown = capturesOf(path).find((name) => !known.includes(name));
  if (unknown !== undefined) return `{${unknown}} is not in from`;
  return path.endsWith("/*") && !from.endsWith("/*") ? "has /* at its end, and from has not" : undefined;
}
