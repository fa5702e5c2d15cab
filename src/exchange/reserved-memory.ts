// Reserves the memory in which an exchange's request body may wait: once, until the exchange is over.
import type { ClientLimits } from "../client/client-limits.ts";

export class ReservedMemory {
  readonly #buffers: ClientLimits["buffers"];
  readonly #client: string;
  #bytes = 0;

  /** @param client the one whose memory budget is used */
  constructor(buffers: ClientLimits["buffers"], client: string) {
    this.#buffers = buffers;
    this.#client = client;
  }

  /** Reserves memory; an earlier reservation suffices. @returns false = there is none */
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
