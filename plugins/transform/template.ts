// Field values with variables: `$userId` and its kind, `$$` for a dollar sign. Parsed once, filled per request.
import type { Exchange, Identity } from "../../src/plugin-api/contract.ts";
import { encodeValue, encodeWord } from "./encode.ts";

/** @returns undefined when there is no value: the field is then not sent */
export type Fill = (exchange: Exchange) => string | undefined;

const orNothing = (text: string): string | undefined => (text === "" ? undefined : text);

interface Values {
  readonly userId: string | undefined;
  readonly plan: string | undefined;
  readonly scopes: string | undefined;
}

const nothing: Values = { userId: undefined, plan: undefined, scopes: undefined };

// An identity lives as long as what was found about its credential: it is encoded once, not for each request.
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

/** `$$`, or `$` and a name, or a `$` that means nothing. */
const marks = /\$(?:\$|([A-Za-z0-9_]+)|)/g;

/** ASCII only: how a service reads other bytes of a field is its own guess (RFC 9110 section 5.5). */
const literal = /^[\x20-\x7e]{1,4096}$/;

/** @returns what is wrong with a value of the policy */
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

/** Whether the value depends on the request: it is then nobody else's. */
export function hasVariables(text: string): boolean {
  return [...text.matchAll(marks)].some(([, name]) => name !== undefined);
}

/** @param text a value for which `templateProblem` found nothing */
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

/** Whether a template has a variable of the caller in it. */
export function namesCaller(template: string): boolean {
  return /\$(?:userId|plan|scopes)/.test(template.replaceAll("$$", ""));
}
