// A Redis that answers but takes no writes (full, read-only, its disk full): known from what it says to our own writes.

/** Codes of error replies that refuse a write and would not refuse a read. */
const codes = new Set(["OOM", "READONLY", "MISCONF", "NOREPLICAS"]);
/** Longer than the pause between two heartbeats, which are writes. */
const forgetMs = 15_000;

export class RefusedWrites {
  readonly #onChange: (refusing: boolean, code: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #code = "";

  constructor(onChange: (refusing: boolean, code: string) => void) {
    this.#onChange = onChange;
  }

  /** The last refusal's code; undefined when none was heard lately. */
  get code(): string | undefined {
    return this.#timer === undefined ? undefined : this.#code;
  }

  /** @param code of any error reply */
  heard(code: string | undefined): void {
    if (code === undefined || !codes.has(code)) return;
    this.#code = code;
    if (this.#timer !== undefined) return void this.#timer.refresh();
    this.#timer = setTimeout(() => this.#over(), forgetMs).unref();
    this.#onChange(true, code);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #over(): void {
    this.#timer = undefined;
    this.#onChange(false, "");
  }
}
