// Passes a body on its way to the client to the taps that watch it. Each gets `end` or `abort` exactly once. A tap that
// throws is removed.
import type { BodyTap } from "../plugin-api/contract.ts";

/** Is told what taps throw. */
export interface TapFaults {
  tapFailed(error: unknown): void;
}

export class Taps {
  readonly #faults: TapFaults | undefined;
  #taps: readonly BodyTap[] = [];

  constructor(faults: TapFaults | undefined) {
    this.#faults = faults;
  }

  add(tap: BodyTap): void {
    this.#taps = [...this.#taps, tap];
  }

  chunk(bytes: Buffer): void {
    for (const tap of this.#taps) {
      try {
        tap.chunk(bytes);
      } catch (error) {
        this.#faults?.tapFailed(error);
        this.#taps = this.#taps.filter((other) => other !== tap);
        this.#tell(tap, "abort");
      }
    }
  }

  /** The body is complete. */
  end(): void {
    this.#tellAll("end");
  }

  /** The body will not be complete. */
  abort(): void {
    this.#tellAll("abort");
  }

  #tellAll(what: "end" | "abort"): void {
    const taps = this.#taps;
    this.#taps = [];
    for (const tap of taps) this.#tell(tap, what);
  }

  #tell(tap: BodyTap, what: "end" | "abort"): void {
    try {
      tap[what]();
    } catch (error) {
      this.#faults?.tapFailed(error);
    }
  }
}
