// Fills variables such as `$userId` into field values; `$$` stands for a dollar sign. Parsed once, filled per request.
import type { Exchange, Identity } from "../../src/plugin-api/contract.ts";
import { encodeValue, encodeWord } from "./encode.ts";

/** @returns undefined when there is no value: then the field is not sent */
export type Fill = (exchange: Exchange) => string | undefined;

const orNothing = (text: string): string | undefined => (text === "" ? undefined : text);

interface Values {
  readonly userId: string | undefined;
  readonly plan: string | undefined;
  readonly scopes: string | undefined;
}

const nothing: Values = { userId: undefined, plan: undefined, scopes: undefined };

// An identity object is cached with its credential: it is encoded once per identity, not once per request.
const encodings = new WeakMap<Identity, Values>();

function valuesOf({ identity }: Exchange): Values {
  if (identity === undefined) return nothing;
  let values = encodings.get(identity);
  if (values === undefined) {
    values = {
      userId: orNothing(encodeValue(identity.userId)),
      plan: identity.plan === undefined ? undefined : orNothing(encodeValue(identity.plan)),
      // Separated by spaces, as in OAuth 2.0 (RFC 6749 section 3.3).
      scopes: orNothing(identity.scopes.map(encodeWord).join(" ")),
    };
    encodings.set(identity, values);
  }
  return values;
}

export const userId: Fill = (exchange) => valuesOf(exchange).userId;
export const plan: Fill = (exchange) => valuesOf(exchange).plan;
export const scopes: Fill = (exchange) => valuesOf(exchange).scopes;

const variables: ReadonlyMap<string, Fill> = new Map([
  ["userId", userId],
  ["plan", plan],
  ["scopes", scopes],
  ["requestId", ({ id }) => orNothing(encodeValue(id))],
  ["clientIp", ({ client }) => orNothing(encodeValue(client.address))],
] as const);

/** `$$`, `$` with a name, or a lone `$`, which has no meaning. */
const marks = /\$(?:\$|([A-Za-z0-9_]+)|)/g;

/** ASCII only: services differ in how they read other bytes of a field (RFC 9110 section 5.5). */
const literal = /^[\x20-\x7e]{1,4096}$/;

/** @returns what is wrong with a value of the policy; undefined = nothing */
export function templateProblem(text: string): string | undefined {
  if (!literal.test(text) || text !== text.trim()) {
    return "must be 1 to 4096 printable ASCII characters without space at the ends";
  }
  for (const [mark, name] of text.matchAll(marks)) {
    if (mark === "$") return "has a lone $: write $$ for a dollar sign";
    if (name !== undefined && !variables.has(name)) {
      return `has an unknown variable $${name}: known are ${[...variables.keys()].map((known) => `$${known}`).join(", ")}`;
    }
  }
  return undefined;
}

/** Whether the value depends on the request: a response with it must not be given to another caller. */
export function hasVariables(text: string): boolean {
  return [...text.matchAll(marks)].some(([, name]) => name !== undefined);
}

/** @param text a value in which `templateProblem` finds nothing wrong */
export function compileTemplate(text: string): Fill {
  const parts: (string | Fill)[] = [];
  let end = 0;
  for (const match of text.matchAll(marks)) {
    parts.push(text.slice(end, match.index));
    const fill = match[1] === undefined ? undefined : variables.get(match[1]);
    parts.push(fill ?? "$");
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  const used = parts.filter((part) => part !== "");
  if (used.every((part) => typeof part === "string")) {
    const value = used.join("");
    return () => value;
  }
  if (used.length === 1) return used[0] as Fill;
  return function fillTemplate(exchange) {
    let value = "";
    for (const part of used) {
      const text = typeof part === "string" ? part : part(exchange);
      if (text === undefined) return undefined;
      value += text;
    }
    return value;
  };
}

/** Whether a template contains a variable about the caller. */
export function namesCaller(template: string): boolean {
  return /\$(?:userId|plan|scopes)/.test(template.replaceAll("$$", ""));
}
