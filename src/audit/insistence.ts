// Tries something again and again until it is done, or nobody wants it any more.
import { textOf } from "../plugin-api/error-text.ts";

export class Insistence {
  readonly #retryMs: number;
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;
  #ended = false;

  constructor(retryMs: number) {
    this.#retryMs = retryMs;
  }

  /**
   * Never rejects.
   * @param onFailed told of each try that failed
   * @returns undefined when it was ended before it was done
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

  /** Each thing is tried once more at most. */
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
