// Asks a plugin's process about its state. Each question waits until it is answered or the process is gone.
import { count, shortened } from "./received.ts";

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Questions {
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  /** Rejects with the plugin's error. @param send sends the question with the given number */
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

  /** The process is gone: all open questions fail. */
  end(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}
