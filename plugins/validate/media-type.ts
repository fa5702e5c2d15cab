// Parses media types (RFC 9110 section 8.3.1) and matches them against the ranges of policies and OpenAPI documents.
import { tokenCharacter } from "../../src/language/field-name.ts";

export interface MediaType {
  /** Lower case, without parameters. */
  readonly essence: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const token = `${tokenCharacter}+`;
const whole = new RegExp(`^(${token}/${token})((?:[ \\t]*;[ \\t]*(?:${token}=(?:${token}|"[^"\\\\]*"))?)*)$`);
const parameter = new RegExp(`(${token})=(?:(${token})|"([^"\\\\]*)")`, "g");
const longest = 1_024;

/** @returns undefined for values that services could read differently: two types, quoted escapes, a parameter twice */
export function readMediaType(value: string): MediaType | undefined {
  const [, essence, rest] = value.length > longest ? [] : (whole.exec(value) ?? []);
  if (essence === undefined || rest === undefined) return undefined;
  const parameters = new Map<string, string>();
  for (const [, name = "", plain, quoted] of rest.matchAll(parameter)) {
    const key = name.toLowerCase();
    if (parameters.has(key)) return undefined;
    parameters.set(key, plain ?? quoted ?? "");
  }
  return { essence: essence.toLowerCase(), parameters };
}

export const rangePattern = new RegExp(`^(?:\\*/\\*|${token}/(?:\\*|${token}))$`);

export const isJson = (essence: string): boolean => /^application\/(?:[^/]+\+)?json$/.test(essence);

/** @param ranges as policies write them @returns the most specific one that matches */
export function rangeOf<Range extends string>(ranges: readonly Range[], essence: string): Range | undefined {
  const [type] = essence.split("/", 1);
  return [essence, `${type}/*`, "*/*"]
    .map((each) => ranges.find((range) => range.toLowerCase() === each))
    .find((found) => found !== undefined);
}
