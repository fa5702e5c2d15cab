// Makes secondary keys (RFC 9111 section 4.1): which request fields tell answers apart, and their values in a normal
// form that is equal for requests that mean the same.
import { fieldKey, type Fields } from "../../../src/plugin-api/contract.ts";

/** The shared empty list of all responses without Vary. */
export const noNames: readonly string[] = [];

/** @returns lower-case names of a Vary field, sorted, each once; "*" = no request ever matches */
export function varyNames(fields: Fields): readonly string[] | "*" {
  const value = fields.get("vary");
  if (value === undefined) return noNames;
  const names = new Set<string>();
  for (const part of value.split(",")) {
    const name = fieldKey(part.trim());
    if (name === "*") return "*";
    if (name !== "") names.add(name);
  }
  return [...names].sort();
}

/** @returns the request's values of those fields, each as `selectingValue` gives it */
export function varyValues(names: readonly string[], request: Pick<Fields, "get">): readonly string[] {
  return names.length === 0 ? noNames : names.map((name) => selectingValue(name, request));
}

/** @returns one selecting field in normal form: "-" if it is absent, else "+" and its normalised value */
export function selectingValue(name: string, request: Pick<Fields, "get">): string {
  const value = request.get(name);
  // An empty field differs from an absent one.
  if (value === undefined) return "-";
  switch (name) {
    case "accept-language":
    case "accept-encoding":
    case "accept-charset":
    case "accept":
      return `+${preferences(value)}`;
    case "cookie":
    case "user-agent":
      return `+${value.trim()}`;
    // No list, perhaps: to a service `,a` may be another value than `a`, so an empty member stays.
    default:
      return `+${members(value).join(",")}`;
  }
}

const wellFormedWeight = /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * Sorts members by weight, then name: the order of members of equal weight means nothing (RFC 9110 section 12.5), nor
 * does an empty member (section 5.6.1).
 */
function preferences(value: string): string {
  const listed = members(value.toLowerCase()).filter((member) => member !== "");
  const weighted = listed.map((member) => {
    const [name = "", ...parameters] = member.split(";").map((part) => part.trim());
    // What is malformed stays: services differ in what they take it for.
    const weight = parameters.findIndex((parameter) => wellFormedWeight.test(parameter));
    const q = weight === -1 ? 1 : Number(parameters[weight]?.slice(2));
    if (weight !== -1) parameters.splice(weight, 1);
    return { name: [name, ...parameters].join(";"), q };
  });
  weighted.sort((a, b) => b.q - a.q || (a.name < b.name ? -1 : Number(a.name > b.name)));
  return weighted.map(({ name, q }) => (q === 1 ? name : `${name};q=${q}`)).join(",");
}

/** Splits at commas outside quoted strings and trims. */
function members(value: string): string[] {
  if (!value.includes('"')) return value.split(",").map((part) => part.trim());
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < value.length; at += 1) {
    const character = value[at];
    if (character === "\\" && quoted) at += 1;
    else if (character === '"') quoted = !quoted;
    else if (character === "," && !quoted) {
      parts.push(value.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(value.slice(start));
  return parts.map((part) => part.trim());
}
