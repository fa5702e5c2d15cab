// Ends one call by its time limit, its caller's signal, or the end of the plugin, whichever comes first.

export class Deadline {
  readonly #controller = new AbortController();
  readonly #endsMono: number;
  readonly #timer: NodeJS.Timeout;
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = (): void => this.end();
  /** Whether the time limit ended the call. */
  expired = false;

  constructor(limitMs: number, caller: AbortSignal | undefined) {
    this.#endsMono = performance.now() + limitMs;
    this.#timer = setTimeout(() => {
      this.expired = true;
      this.end();
    }, limitMs);
    this.#caller = caller;
    if (caller?.aborted === true) this.end();
    else caller?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get leftMs(): number {
    return this.#endsMono - performance.now();
  }

  /** Ends the call. */
  end(): void {
    this.#controller.abort();
  }

  /** The call is over: removes its timer and listener. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#onAbort);
  }
}
