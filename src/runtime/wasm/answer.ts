// Reads the answer of a guest's call: the guest's return value and its effects.
import { type GuestAnswer, GuestFailure } from "./guest-host.ts";

/** Takes a guest's effects in order. Parts are bytes, one character each. */
export interface EffectHandler {
  /** @param context id of the context that the effect is about */
  effect(context: number, kind: string, parts: EffectParts): void;
}

/** How many parts each kind of record has. */
const partsOf: Readonly<Record<string, number>> = {
  a: 3, // map, name, value: add
  s: 3, // map, name, value: replace
  d: 2, // map, name: remove
  S: 2, // map, flat fields: set all
  b: 2, // buffer, content
  r: 5, // status, details, gRPC status, flat fields, body
  n: 1, // stream: go on
  x: 1, // stream: close
  h: 5, // call, upstream, timeout, flat fields, body
  t: 2, // root, period
  q: 2, // root, queue
  m: 3, // metric, type, name: define
  v: 2, // metric, value
  l: 2, // level, message
  L: 1, // number of lines dropped
  c: 1, // id of the context that the next records are about
  D: 0, // the guest has finished with the context
  F: 0, // the call exceeded its limits
};

/** Effects that count even if the call failed. */
const always = new Set(["l", "L", "m"]);

export type EffectParts = readonly string[];

interface Effect {
  readonly context: number;
  readonly kind: string;
  readonly parts: EffectParts;
}

/**
 * Passes each effect of a guest to the handler.
 * @returns the guest's return value
 * @throws GuestFailure when the call failed; only its log lines and metric definitions are passed on then
 */
export function readAnswer(answer: GuestAnswer, context: number, handler: EffectHandler): number {
  if (typeof answer === "number") return answer;
  const failed = answer.startsWith("!") ? partAt(answer, 1) : undefined;
  const effects = effectsIn(answer, failed?.end ?? 1, context);
  const isFull = effects.at(-1)?.kind === "F";
  for (const { context: about, kind, parts } of effects) {
    if ((failed === undefined && !isFull) || always.has(kind)) handler.effect(about, kind, parts);
  }
  if (failed !== undefined) throw new GuestFailure(failed.text);
  if (isFull) throw new GuestFailure("it did more in one call than there is room for");
  return answer.charCodeAt(0) - 48;
}

function effectsIn(answer: string, from: number, context: number): Effect[] {
  const effects: Effect[] = [];
  let about = context;
  for (let at = from; at < answer.length;) {
    const kind = answer.charAt(at);
    const count = partsOf[kind];
    if (count === undefined) throw new GuestFailure(`it answered with "${kind}"`);
    const parts: string[] = [];
    at += 1;
    for (let i = 0; i < count; i += 1) {
      const { text, end } = partAt(answer, at);
      parts.push(text);
      at = end;
    }
    if (kind === "c") about = Number(parts[0]);
    else effects.push({ context: about, kind, parts });
  }
  return effects;
}

function partAt(answer: string, at: number): { text: string; end: number } {
  const colon = answer.indexOf(":", at);
  const from = colon + 1;
  const end = from + Number(answer.slice(at, colon));
  return { text: answer.slice(from, end), end };
}
