// Shares the end of a login among requests that bring the same answer of the provider at once, as when a user loads the
// callback again while it is under way. A code is good once: a provider takes a second use for theft, and takes back what
// the first one gave (RFC 6749 section 4.1.2).
import type { Verdict } from "../../../src/plugin-api/contract.ts";

export class LoginEnds {
  readonly #running = new Map<string, Promise<Verdict>>();

  /**
   * @param answer query of the callback. Its state is this browser's: the caller has compared it with the cookies.
   * @param end rejects for all who wait
   */
  once(answer: URLSearchParams, end: () => Promise<Verdict>): Promise<Verdict> {
    const name = answer.toString();
    let running = this.#running.get(name);
    if (running === undefined) {
      running = end().finally(() => this.#running.delete(name));
      this.#running.set(name, running);
    }
    return running;
  }
}
