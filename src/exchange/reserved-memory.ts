// The memory that an exchange's request body may wait in: taken once, given back when the exchange is over.
import type { ClientLimits } from "../client/client-limits.ts";

export class ReservedMemory {
  readonly #buffers: ClientLimits["buffers"];
  readonly #client: string;
  #bytes = 0;

  /** @param client whose memory it is */
  constructor(buffers: ClientLimits["buffers"], client: string) {
    this.#buffers = buffers;
    this.#client = client;
  }

  /** What is taken already is enough. @returns false = there is none */
  take(bytes: number): boolean {
    if (this.#bytes > 0) return true;
    if (!this.#buffers.take(this.#client, bytes)) return false;
    this.#bytes = bytes;
    return true;
  }

  giveBack(): void {
    if (this.#bytes > 0) this.#buffers.give(this.#client, this.#bytes);
    this.#bytes = 0;
  }
}
