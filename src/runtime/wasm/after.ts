// Handles values that may still be pending: guests in threads answer later, those in isolates at once.
import type { MaybePromise } from "../../plugin-api/contract.ts";

/** Calls `goOn` with the value. A value that is not a promise is passed on at once, without a microtask. */
export function after<T, U>(value: MaybePromise<T>, goOn: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(goOn) : goOn(value);
}
