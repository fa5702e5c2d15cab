// Values that may still be on their way: guests in threads answer later, those in isolates at once.
import type { MaybePromise } from "../../plugin-api/contract.ts";

/** Goes on with the value: at once where it is there, without a microtask. */
export function after<T, U>(value: MaybePromise<T>, goOn: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(goOn) : goOn(value);
}
