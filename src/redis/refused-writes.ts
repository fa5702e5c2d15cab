// Detects a Redis that answers but refuses writes (out of memory, read-only, disk full), from its replies to the
// sidecar's own writes.

/** Codes of error replies that refuse a write but would not refuse a read. */
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

  /** The code of the last refusal; undefined if there was none lately. */
  get code(): string | undefined {
    return this.#timer === undefined ? undefined : this.#code;
  }

  /** @param code that of any error reply */
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
