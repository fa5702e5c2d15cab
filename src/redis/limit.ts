// A wait for Redis that ends: the answer, its failure, or the limit.
import { noAnswer } from "./failure.ts";

/** Settles as the work does. Rejects after the limit; the work's own end is then nobody's. */
export function withinLimit<Result>(work: Promise<Result>, limitMs: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      // After a stall of our own process the answer may lie in the socket already: it is read first.
      setImmediate(() => reject(new Error(noAnswer)));
    }, limitMs);
    work.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
