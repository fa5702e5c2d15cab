// What a plugin keeps about an exchange from hook to hook: `const asked = note<Asked>("asked")`, once, beside its hooks.
import type { Exchange } from "./exchange.ts";

type Noted = Pick<Exchange, "notes">;

export interface Note<T> {
  get(exchange: Noted): T | undefined;
  set(exchange: Noted, value: T): void;
}

/** @param name for whoever debugs; two notes of one name are two */
export function note<T>(name: string): Note<T> {
  const key = Symbol(name);
  return {
    // Only `set` puts something under this key.
    get: (exchange) => exchange.notes.get(key) as T | undefined,
    set: (exchange, value) => void exchange.notes.set(key, value),
  };
}
