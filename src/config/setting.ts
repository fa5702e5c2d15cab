// One row of the table of settings, and how it is written.
import type { ReadFile } from "./formats.ts";

/** One variable. `default` is the text that counts when it is unset; null = the setting is then `undefined`. */
export interface Setting<T> {
  readonly env: string;
  readonly default: string | null;
  readonly doc: string;
  readonly parse: (text: string, readFile: ReadFile) => T;
  /** Never shown; may also come from the file that `<env>_FILE` names. */
  readonly secret?: true;
}

export type Parse<T> = Setting<T>["parse"];

/** A setting with a default. */
export function setting<T>(env: string, fallback: string, parse: Parse<T>, doc: string): Setting<T> {
  return { env, default: fallback, parse, doc };
}
/** A setting that may be absent. */
export function optional<T>(env: string, parse: Parse<T>, doc: string): Setting<T | undefined> {
  return { env, default: null, parse, doc };
}
/** A secret that may be absent. */
export function secret<T>(env: string, parse: Parse<T>, doc: string): Setting<T | undefined> {
  return { env, default: null, parse, doc, secret: true };
}
