// Repeats work until it succeeds or the owner ends it.
import { textOf } from "../plugin-api/error-text.ts";

export class Insistence {
  readonly #retryMs: number;
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;
  #ended = false;

  constructor(retryMs: number) {
    this.#retryMs = retryMs;
  }

  /**
   * Runs the work until it succeeds. Never rejects.
   * @param onFailed called after each failed try
   * @returns undefined when ended before success
   */
  async on<Result>(
    work: () => Promise<Result>,
    onFailed: (reason: string) => void,
  ): Promise<Result | undefined> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        onFailed(textOf(error));
        if (this.#ended) return undefined;
        await this.#rest();
      }
    }
  }

  /** Ends the retries: work in progress gets one more try at most. */
  end(): void {
    this.#ended = true;
    this.#pause?.end();
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pause = undefined;
        resolve();
      };
      const timer = setTimeout(end, this.#retryMs).unref();
      this.#pause = { timer, end };
    });
  }
}
