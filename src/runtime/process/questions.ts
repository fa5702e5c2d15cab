// Questions to a plugin's process about its state, until they are answered or it is gone.
import { count, shortened } from "./received.ts";

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Questions {
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  /** @param send says the question, by its number. Rejects as the plugin does */
  ask(send: (question: number) => void): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#last += 1;
    this.#asked.set(this.#last, { resolve, reject });
    send(this.#last);
    return promise;
  }

  /** @param message `state`, question, error, value */
  answered(message: readonly unknown[]): void {
    const question = count(message[1], "a question");
    const asked = this.#asked.get(question);
    this.#asked.delete(question);
    if (message[2] === null) asked?.resolve(message[3] ?? undefined);
    else asked?.reject(new Error(shortened(message[2], "an error", 1_000)));
  }

  /** Nobody answers any more. */
  end(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}
