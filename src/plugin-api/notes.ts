// Lets a plugin keep data about an exchange from hook to hook. Write `const asked = note<Asked>("asked")` once, beside
// the hooks.
import type { Exchange } from "./exchange.ts";

type Noted = Pick<Exchange, "notes">;

export interface Note<T> {
  get(exchange: Noted): T | undefined;
  set(exchange: Noted, value: T): void;
}

/** @param name for debugging only: two notes of the same name stay separate */
export function note<T>(name: string): Note<T> {
  const key = Symbol(name);
  return {
    // Only `set` puts something under this key.
    get: (exchange) => exchange.notes.get(key) as T | undefined,
    set: (exchange, value) => void exchange.notes.set(key, value),
  };
}
