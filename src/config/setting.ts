// The type of one row in the table of settings, and functions to write a row.
import type { ReadFile } from "./formats.ts";

/** One variable. `default` is the text used when it is unset; null = the setting is `undefined` then. */
export interface Setting<T> {
  readonly env: string;
  readonly default: string | null;
  readonly doc: string;
  readonly parse: (text: string, readFile: ReadFile) => T;
  /** The value is never shown; it may also come from the file that `<env>_FILE` names. */
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
